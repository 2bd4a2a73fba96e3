package source_test

import (
	"errors"
	"testing"
	"time"

	"pillarbox/internal/protocol"
	"pillarbox/internal/ratelimit"
	"pillarbox/internal/signature"
	"pillarbox/internal/source"
)

func keepingApart(t *testing.T, room *bool, limits ...source.Limit) *source.Source {
	t.Helper()
	verifier, err := signature.Compile(signature.Settings{Scheme: "standard-webhooks", Secrets: []string{standardSecret}})
	if err != nil {
		t.Fatal(err)
	}
	table, err := source.Compile([]source.Settings{{Name: "app", Path: "/app", Signature: verifier, Quarantine: true, Limits: limits}},
		source.Options{Now: func() time.Time { return now }, Elapsed: func() time.Duration { return time.Hour }, Quarantine: func() bool { return *room }})
	if err != nil {
		t.Fatal(err)
	}
	return table.Get("app")
}

// TestTheLoopHandsSuspectsOver: it can't wait for a disk. Without room it refuses them itself.
func TestTheLoopHandsSuspectsOver(t *testing.T) {
	room := true
	s := keepingApart(t, &room)
	for _, head := range []*source.Head{signed("a", now, "other"), {Method: "POST", Path: "/app"}} {
		room = true
		if _, _, err := s.AdmitOne(head, []byte("body")); !errors.Is(err, source.ErrMustWait) {
			t.Errorf("a front that must not wait gets %v", err)
		}
		head.MayWait = true
		if grant, body, err := s.AdmitOne(head, []byte("body")); err != nil || !grant.IsSuspect() || string(body) != "body" {
			t.Errorf("one that may wait gets %+v, %v", grant, err)
		}
		head.MayWait, room = false, false
		if _, _, err := s.AdmitOne(head, []byte("body")); protocol.StatusOf(err) != 401 {
			t.Errorf("without room it gets %v", err)
		}
	}
	if grant, _, err := s.AdmitOne(signed("b", now, "body"), []byte("body")); err != nil || grant.IsSuspect() {
		t.Errorf("what is signed gets %+v, %v", grant, err)
	}
}

// TestSuspectsUseUpNobodysLimit but that of their address: a forger must not keep those out who sign.
func TestSuspectsUseUpNobodysLimit(t *testing.T) {
	room := true
	s := keepingApart(t, &room, source.Limit{By: source.BySource, Rate: ratelimit.Rate{PerSecond: 1, Burst: 2}},
		source.Limit{By: source.ByAddress, Rate: ratelimit.Rate{PerSecond: 1, Burst: 3}, MaxClients: 100})
	for i, want := range []int{0, 0, 0, 429} {
		head := &source.Head{Method: "POST", Path: "/app", RemoteAddr: "192.0.2.1", MayWait: true}
		_, _, err := s.AdmitOne(head, []byte("body"))
		if got := protocol.StatusOf(err); err == nil != (want == 0) || err != nil && got != want {
			t.Errorf("suspect %d gets %v, want %d", i, err, want)
		}
	}
	for i := range 2 {
		head := signed("a", now, "body")
		head.RemoteAddr = "192.0.2.2"
		if _, _, err := s.AdmitOne(head, []byte("body")); err != nil {
			t.Errorf("signed request %d gets %v", i, err)
		}
	}
}
