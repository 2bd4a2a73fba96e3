package source_test

import (
	"bytes"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pillarbox"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/protocol"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/prom"
)

func with(name, value string) *source.Head {
	return &source.Head{Method: "POST", Path: "/app", Header: pillarbox.Header{{Name: name, Value: value}}}
}

// TestStrangersAreCountedByReasonAndToldToNobodyElse: the client gets one and the same refusal, the
// metrics the reason, and the log a line a minute without any credential.
func TestStrangersAreCountedByReasonAndToldToNobodyElse(t *testing.T) {
	registry, clock := prometheus.NewRegistry(), nodetest.DoorTime
	keys := nodetest.NewDoorKeys(t)
	var log bytes.Buffer
	issuer := nodetest.NewDoorIssuer()
	tokens := issuer.Tokens(issuer.Issuers(t))
	if !tokens.Await() {
		t.Fatal("the keys of the issuer don't come")
	}
	token := func(others map[string]any) *source.Head {
		return with("Authorization", "Bearer "+issuer.Token("rsa", nil, issuer.Claims(others)))
	}
	unix := nodetest.DoorTime.Unix()
	app := source.New(source.Settings{Name: "app", Path: "/app", Keys: keys.Ring, Tokens: []source.Tokens{tokens}},
		source.Options{Metrics: telemetry.NewMetrics(prom.Keep(registry, prom.Options{})),
			Logger: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return clock }})
	several := with("X-Api-Key", keys.Good)
	several.Header = append(several.Header, several.Header[0])
	for _, head := range []*source.Head{{Method: "POST"}, several, with("X-Api-Key", "pb_"), with("Authorization", "Basic YTpi"),
		with("X-Api-Key", keys.Strange), with("X-Api-Key", keys.Revoked), with("X-Api-Key", keys.Expired),
		with("X-Api-Key", keys.OtherSource), token(map[string]any{"aud": "x"}), token(map[string]any{"iss": "x"}),
		token(map[string]any{"nbf": unix + 1000}), with("Authorization", "Bearer "+issuer.Token("rsa", map[string]any{"alg": "HS256"}, issuer.Claims(nil)))} {
		grant, _, err := app.AdmitOne(head, nil)
		var refused *protocol.Error
		if !errors.As(err, &refused) || refused.Status != 401 || refused.Challenge != `Bearer realm="pillarbox"` ||
			refused.Detail != "the request comes with no credential that opens this source; nothing was stored" || grant.Source() != nil {
			t.Errorf("%v is refused with %v", head.Header, err)
		}
	}
	want := map[string]float64{"missing": 1, "several": 1, "malformed": 2, "unknown": 1, "revoked": 1, "expired": 1, "other_source": 1,
		"other_audience": 1, "other_issuer": 1, "not_yet": 1, "algorithm": 1}
	if got := counted(t, registry, "pillarbox_ingest_unauthorized_total"); !maps.Equal(got, want) {
		t.Errorf("counted are %v, want %v", got, want)
	}
	if !slices.Equal(slices.Sorted(slices.Values(telemetry.UnauthorizedReasons())), slices.Sorted(maps.Keys(want))) {
		t.Errorf("the metrics know %q", telemetry.UnauthorizedReasons())
	}
	clock = clock.Add(time.Minute)
	_, _, _ = app.AdmitOne(with("X-Api-Key", keys.Revoked), nil)
	if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "requests=12") || strings.Contains(text, "pb_") {
		t.Errorf("a minute later, the log has %s", text)
	}
}

// TestACredentialCostsNoAllocation on the way of every request, nor does a refusal: strangers may be
// many.
func TestACredentialCostsNoAllocation(t *testing.T) {
	keys := nodetest.NewDoorKeys(t)
	app := source.New(source.Settings{Name: "app", Path: "/app", Keys: keys.Ring,
		Users: []source.User{{Name: "a", Password: "b"}}}, source.Options{Now: func() time.Time { return nodetest.DoorTime }})
	for _, c := range []struct {
		head *source.Head
		good bool
	}{
		{with("X-Api-Key", keys.Good), true}, {with("Authorization", "Bearer "+keys.Named), true},
		{with("Authorization", "Basic YTpi"), true}, {with("X-Api-Key", keys.Revoked), false}, {with("A", "b"), false},
	} {
		admit := func() {
			if _, err := app.Admit(c.head); (err == nil) != c.good {
				t.Fatal(c.head.Header, err)
			}
		}
		if n := testing.AllocsPerRun(100, admit); n != 0 {
			t.Errorf("%v: it takes %v allocations", c.head.Header, n)
		}
	}
}
