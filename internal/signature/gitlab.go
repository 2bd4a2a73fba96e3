package signature

import (
	"fmt"
	"strings"
	"time"
)

// gitlabToken is where GitLab sends the secret token of a webhook.
const gitlabToken = "X-Gitlab-Token"

// gitlab verifies webhooks of GitLab. A signing token (whsec_…) signs as Standard Webhooks do; a
// secret token is sent as it is, and proves nothing of the body. Where secrets of both kinds are
// configured, either is enough, so that one can be exchanged for the other.
type gitlab struct {
	signing *standard // nil for none
	tokens  []*key
}

func compileGitLab(settings Settings) (checker, []string, []string, error) {
	g := &gitlab{}
	var signing []string
	for i, secret := range settings.Secrets {
		if strings.HasPrefix(secret, secretPrefix) {
			if _, err := readStandard(secret); err != nil {
				return nil, nil, nil, wrong(fmt.Sprintf("secrets[%d]", i), err.Error())
			}
			signing = append(signing, secret)
			continue
		}
		if err := checkToken(secret); err != nil {
			return nil, nil, nil, wrong(fmt.Sprintf("secrets[%d]", i), err.Error())
		}
		g.tokens = append(g.tokens, newToken(secret))
	}
	if len(signing) > 0 {
		var err error
		if g.signing, err = newStandard(signing, settings.Tolerance); err != nil {
			return nil, nil, nil, err
		}
	}
	return g, append(standardHeaders(), gitlabToken), []string{gitlabToken}, nil
}

func (g *gitlab) verify(r *Request, at time.Time) (Verified, error) {
	if g.signing != nil && (len(g.tokens) == 0 || has(r.Header, standardNames[0].signature)) {
		return g.signing.verify(r, at)
	}
	token, err := one(r.Header, gitlabToken)
	if err != nil {
		return Verified{}, err
	}
	for _, k := range g.tokens {
		if k.isToken(token) {
			return Verified{}, nil
		}
	}
	return Verified{}, Mismatch
}
