package source_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"pillarbox"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/protocol"
	"pillarbox/internal/signature"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
	"pillarbox/internal/telemetry/prom"
)

var now = time.Date(2026, 11, 25, 14, 12, 0, 0, time.UTC)

const standardSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// signed is the head of a request of Standard Webhooks.
func signed(id string, at time.Time, body string) *source.Head {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(standardSecret, "whsec_"))
	if err != nil {
		panic(err)
	}
	unix := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + unix + "." + body))
	return &source.Head{Method: "POST", Path: "/app", Header: pillarbox.Header{{Name: "Webhook-Id", Value: id},
		{Name: "Webhook-Timestamp", Value: unix},
		{Name: "Webhook-Signature", Value: "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}}}
}

func verifying(t testing.TB, options source.Options, rule signature.Settings) *source.Source {
	t.Helper()
	verifier, err := signature.Compile(rule)
	if err != nil {
		t.Fatal(err)
	}
	if options.Now == nil {
		options.Now = func() time.Time { return now }
	}
	return source.New(source.Settings{Name: "app", Path: "/app", Signature: verifier}, options)
}

// TestFailedSignaturesAreCountedByReasonAndToldToNobodyElse: the client gets one and the same
// refusal, the metrics the reason, and the log a line a minute.
func TestFailedSignaturesAreCountedByReasonAndToldToNobodyElse(t *testing.T) {
	if !slices.EqualFunc(telemetry.UnverifiedReasons(), signature.Reasons(), func(name string, r signature.Reason) bool {
		return name == r.String()
	}) {
		t.Errorf("the metrics know %q, signatures fail for %v", telemetry.UnverifiedReasons(), signature.Reasons())
	}
	registry, clock := prometheus.NewRegistry(), now
	var log bytes.Buffer
	app := verifying(t, source.Options{Metrics: telemetry.NewMetrics(prom.Keep(registry, prom.Options{})),
		Logger: slog.New(slog.NewTextHandler(&log, nil)), Now: func() time.Time { return clock }},
		signature.Settings{Scheme: "standard-webhooks", Secrets: []string{standardSecret}})
	malformed := signed("1", now, "body")
	malformed.Header = append(malformed.Header, malformed.Header[2])
	for _, head := range []*source.Head{{Method: "POST"}, malformed, signed("1", now, "another"),
		signed("1", now.Add(-time.Hour), "body"), signed("1", now.Add(time.Hour), "body"),
		signed("1", now.Add(time.Hour), "body")} {
		grant, _, err := app.AdmitOne(head, []byte("body"))
		var refused *protocol.Error
		if !errors.As(err, &refused) || refused.Status != 401 || refused.Detail != "the request is not verified; nothing was stored" ||
			grant.Source() != nil {
			t.Errorf("%v is refused with %v", head.Header, err)
		}
	}
	want := map[string]float64{"missing": 1, "malformed": 1, "mismatch": 1, "too_old": 1, "too_new": 2}
	if got := counted(t, registry, "pillarbox_ingest_unverified_total"); !sameCounts(got, want) {
		t.Errorf("counted are %v, want %v", got, want)
	}
	if lines := strings.Count(log.String(), "\n"); lines != 1 || !strings.Contains(log.String(), "reason=missing") {
		t.Errorf("the log has %s", log.String())
	}
	clock = clock.Add(time.Minute)
	_, _, _ = app.AdmitOne(&source.Head{Method: "POST"}, nil)
	if text := log.String(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "requests=6") || strings.Contains(text, "whsec") {
		t.Errorf("a minute later, the log has %s", text)
	}
}

// counted are the values of a counter, by its label that is no source.
func counted(t *testing.T, registry *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == name {
				got[metric.GetLabel()[0].GetValue()] = metric.GetCounter().GetValue()
			}
		}
	}
	return got
}

func sameCounts(a, b map[string]float64) bool {
	for name, n := range b {
		if a[name] != n {
			return false
		}
	}
	return len(a) == len(b)
}

// TestASignedIDIsTheIdempotencyKey, whatever an unsigned header says.
func TestASignedIDIsTheIdempotencyKey(t *testing.T) {
	app := verifying(t, source.Options{}, signature.Settings{Scheme: "standard-webhooks", Secrets: []string{standardSecret}})
	known := func(id, key, body string) pillarbox.Idempotency {
		head := signed(id, now, body)
		head.Header = append(head.Header, pillarbox.HeaderField{Name: "Idempotency-Key", Value: key})
		grant, _, err := app.AdmitOne(head, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return grant.Idempotency(&source.Content{Method: "POST", Header: head.Header, Body: []byte(body)})
	}
	first := known("msg_1", "a", "body")
	if first.IsZero() || known("msg_1", "b", "body") != first || known("msg_2", "a", "body").Key == first.Key {
		t.Error("the key is not the signed id")
	}
}

// TestASignatureCostsNoAllocation on the way of every request.
func TestASignatureCostsNoAllocation(t *testing.T) {
	app := verifying(t, source.Options{}, signature.Settings{Scheme: "github", Secrets: []string{"the-secret"}})
	body := bytes.Repeat([]byte("x"), 200)
	mac := hmac.New(sha256.New, []byte("the-secret"))
	mac.Write(body)
	head := &source.Head{Method: "POST", Header: pillarbox.Header{{Name: "X-Hub-Signature-256",
		Value: "sha256=" + hex.EncodeToString(mac.Sum(nil))}}}
	admit := func() {
		if _, _, err := app.AdmitOne(head, body); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, admit); n > 30 { // with the race detector, pools lose what they have
		t.Errorf("it takes %v allocations", n)
	}
}

// BenchmarkAdmit is what a source asks of a request of 200 bytes, with and without a signature or a key.
func BenchmarkAdmit(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 200)
	mac := hmac.New(sha256.New, []byte("the-secret"))
	mac.Write(body)
	keys := nodetest.NewDoorKeys(b)
	head := &source.Head{Method: "POST", Header: pillarbox.Header{{Name: "X-Hub-Signature-256",
		Value: "sha256=" + hex.EncodeToString(mac.Sum(nil))}, {Name: "X-Api-Key", Value: keys.Good}}}
	for name, app := range map[string]*source.Source{
		"plain":  source.New(source.Settings{Name: "app"}, source.Options{}),
		"key":    source.New(source.Settings{Name: "app", Keys: keys.Ring}, source.Options{}),
		"github": verifying(b, source.Options{}, signature.Settings{Scheme: "github", Secrets: []string{"the-secret"}}),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := app.AdmitOne(head, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
