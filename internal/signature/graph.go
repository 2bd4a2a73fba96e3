package signature

import (
	"encoding/json"
	"fmt"
	"time"
)

// maxClientState is the longest clientState that Microsoft Graph takes, in characters.
const maxClientState = 128

// graph verifies change notifications of Microsoft Graph, which signs nothing: each notification of
// a body carries the secret that was given at the subscription (clientState). It proves who has
// sent the body, and nothing else of it.
type graph struct{ states []*key }

func compileGraph(settings Settings) (checker, []string, []string, error) {
	g := &graph{}
	for i, secret := range settings.Secrets {
		err := checkToken(secret)
		if err == nil && len(secret) > maxClientState {
			err = errorText("Microsoft Graph takes a clientState of up to 128 characters")
		}
		if err != nil {
			return nil, nil, nil, wrong(fmt.Sprintf("secrets[%d]", i), err.Error())
		}
		g.states = append(g.states, newToken(secret))
	}
	return g, nil, nil, nil
}

func (g *graph) verify(r *Request, _ time.Time) (Verified, error) {
	var notifications struct {
		Value []struct {
			ClientState *string `json:"clientState"`
		} `json:"value"`
	}
	if err := json.Unmarshal(r.Body, &notifications); err != nil || len(notifications.Value) == 0 {
		return Verified{}, Malformed
	}
	for _, notification := range notifications.Value {
		if notification.ClientState == nil {
			return Verified{}, Missing
		}
		if !g.isState(*notification.ClientState) {
			return Verified{}, Mismatch
		}
	}
	return Verified{}, nil
}

func (g *graph) isState(state string) bool {
	for _, k := range g.states {
		if k.isToken(state) {
			return true
		}
	}
	return false
}
