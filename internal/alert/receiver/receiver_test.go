package receiver_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/alert"
	"pillarbox/internal/alert/receiver"
	"pillarbox/internal/engine/webhook"
	"pillarbox/internal/signature"
)

// hostile is what must be shown as it is, wherever it is shown.
const hostile = "<!channel> <https://evil.example|safe> & \r\nBcc: a@evil.example\x00\x1b[31m *bold* \u202eabc"

var since = time.Date(2026, 11, 30, 14, 2, 0, 0, time.UTC)

// message is one with an alert, made as the Center makes it.
func message(t *testing.T, texts string) (m *alert.Message) {
	t.Helper()
	rules, err := alert.Rules([]byte(`rules: [{name: Mine, each: destination, when: destination.down, severity: high, summary: ` +
		mustJSON(t, texts+" {destination}") + `, runbook: ` + mustJSON(t, texts) + `}]`))
	if err != nil {
		t.Fatal(err)
	}
	down := alert.Series{Metric: "pillarbox_deliver_breaker_open", Value: 1,
		Labels: map[string]string{"destination": texts}}
	synctest.Test(t, func(t *testing.T) {
		c := alert.New(alert.Options{Rules: rules, Node: texts, Dashboard: "https://box.example/",
			Receivers: []alert.Receiver{{Name: "a", Severities: alert.Severities(), Sender: catcher{&m}}},
			Metrics:   func() ([]alert.Series, error) { return []alert.Series{down}, nil }})
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		if err := c.Run(ctx); err != nil {
			t.Fatal(err)
		}
	})
	if m == nil {
		t.Fatal("there was no message")
	}
	m.Items[0].Since = since
	return m
}

func mustJSON(t *testing.T, text string) string {
	t.Helper()
	out, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// catcher keeps a message.
type catcher struct{ m **alert.Message }

func (c catcher) Send(_ context.Context, m *alert.Message) error {
	*c.m = m
	return nil
}
func (catcher) Single() bool { return false }
func (catcher) Close() error { return nil }

// posted is a server that keeps what is posted to it.
type posted struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
	status   int
}

func serve(t *testing.T) *posted {
	t.Helper()
	p := &posted{status: http.StatusOK}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.requests, p.bodies = append(p.requests, r), append(p.bodies, string(body))
		w.WriteHeader(p.status)
	}))
	t.Cleanup(p.Close)
	return p
}

func open(t *testing.T, o receiver.Options) alert.Receiver {
	t.Helper()
	o.Name, o.Severities, o.HTTP.AllowPrivate = "a", alert.Severities(), true
	r, err := receiver.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Sender.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func send(t *testing.T, r alert.Receiver, m *alert.Message) {
	t.Helper()
	if err := r.Sender.Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

// A webhook gets JSON under the id of the message, signed by Standard Webhooks.
func TestWebhookIsSigned(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	p := serve(t)
	m := message(t, "box")
	send(t, open(t, receiver.Options{Kind: receiver.Webhook, URL: p.URL,
		HTTP: webhook.Options{SigningSecrets: []string{secret}}}), m)
	r := p.requests[0]
	signer, err := signature.NewSigner([]string{secret})
	if err != nil {
		t.Fatal(err)
	}
	at, err := time.Parse(time.DateTime, "1970-01-01 00:00:00")
	if err != nil {
		t.Fatal(err)
	}
	var seconds int64
	if err := json.Unmarshal([]byte(r.Header.Get(signature.HeaderTimestamp)), &seconds); err != nil {
		t.Fatal(err)
	}
	if _, want := signer.Sign(m.ID, at.Add(time.Duration(seconds)*time.Second),
		[]byte(p.bodies[0])); r.Header.Get(signature.HeaderSignature) != want ||
		r.Header.Get(signature.HeaderID) != m.ID {
		t.Errorf("the signature is %q, want %q", r.Header.Get(signature.HeaderSignature), want)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(p.bodies[0]), &got); err != nil {
		t.Fatal(err)
	}
	one := got["alerts"].([]any)[0].(map[string]any)
	for key, want := range map[string]any{"event": "firing", "alert": "Mine", "severity": "high",
		"of": "destination", "subject": "box",
		"summary": "box box", "since": "2026-11-30T14:02:00.000000Z", "runbook": "box"} {
		if one[key] != want {
			t.Errorf("%s is %v, want %v", key, one[key], want)
		}
	}
}

// What is shown to people is shown as it is: no call of everybody, no link, no further header.
func TestHostileTextsAreShownAsTheyAre(t *testing.T) {
	m := message(t, hostile)
	for _, text := range []string{m.Title(), m.Items[0].Summary, m.Items[0].Runbook,
		m.Items[0].Subject.Name, m.Node} {
		if strings.ContainsAny(text, "\r\n\x00\x1b\u202e") {
			t.Errorf("%q is not one line of what can be seen", text)
		}
	}
	p := serve(t)
	send(t, open(t, receiver.Options{Kind: receiver.Slack, URL: p.URL}), m)
	var got struct {
		Text        string
		Mrkdwn      *bool
		Attachments []struct{ Text, Fallback string }
	}
	if err := json.Unmarshal([]byte(p.bodies[0]), &got); err != nil {
		t.Fatal(err)
	}
	if got.Mrkdwn == nil || *got.Mrkdwn || len(got.Attachments) != 1 {
		t.Fatalf("%+v", got)
	}
	all := got.Text + got.Attachments[0].Text + got.Attachments[0].Fallback
	if strings.Contains(all, "<!") || strings.Contains(all, "<https://evil") || !strings.Contains(all,
		"&lt;!channel&gt;") {
		t.Errorf("Slack is told %q", all)
	}
	if !strings.Contains(got.Text, "<https://box.example/>") {
		t.Errorf("there is no link to the dashboard in %q", got.Text)
	}
}

// PagerDuty gets one event for each alert, whose key is the same until it is resolved, and is short
// enough.
func TestPagerDutyOpensAndCloses(t *testing.T) {
	p := serve(t)
	r := open(t, receiver.Options{Kind: receiver.PagerDuty, URL: p.URL, RoutingKey: "R0UT1NG"})
	if !r.Sender.Single() {
		t.Fatal("a message may have one alert only")
	}
	m := message(t, strings.Repeat("box", 100))
	send(t, r, m)
	m.Items[0].Event, m.Items[0].Ended = alert.EventResolved, since.Add(time.Hour)
	send(t, r, m)
	m.Items[0].Event = alert.EventTest
	send(t, r, m)
	var actions []string
	for _, body := range p.bodies {
		var got struct {
			Key     string `json:"routing_key"`
			Action  string `json:"event_action"`
			Dedup   string `json:"dedup_key"`
			Payload *struct{ Summary, Source, Severity, Timestamp string }
		}
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if len(actions) == 0 && (got.Payload.Severity != "critical" ||
			got.Payload.Timestamp != "2026-11-30T14:02:00Z" || got.Payload.Summary == "") {
			t.Errorf("%s", body)
		}
		if got.Key != "R0UT1NG" || len(got.Dedup) > 255 || !strings.HasPrefix(got.Dedup, "pillarbox/") {
			t.Errorf("%s", body)
		}
		actions = append(actions, got.Action)
	}
	if got := strings.Join(actions, " "); got != "trigger resolve trigger resolve" {
		t.Errorf("the events are %s", got)
	}
}

// A receiver over HTTP keeps to the rules of webhooks: what is no 2xx is no message that was taken,
// and no private address is connected to. Errors don't hold the URL, which is a secret.
func TestRefusalsAreErrors(t *testing.T) {
	p := serve(t)
	m := message(t, "box")
	for _, kind := range []string{receiver.Webhook, receiver.Slack, receiver.PagerDuty} {
		r := open(t, receiver.Options{Kind: kind, URL: p.URL + "/T0000/geheim", RoutingKey: "geheim"})
		for _, status := range []int{302, 400, 404, 500} {
			p.status = status
			if err := r.Sender.Send(t.Context(), m); err == nil || strings.Contains(err.Error(), "geheim") {
				t.Errorf("%s answers %d: %v", kind, status, err)
			}
		}
	}
	if _, err := receiver.Open(receiver.Options{Kind: receiver.Slack,
		URL: "http://127.0.0.1:1/"}); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("a private address: %v", err)
	}
	if _, err := receiver.Open(receiver.Options{Kind: receiver.PagerDuty,
		URL: receiver.PagerDutyURL}); !errors.Is(err, pillarbox.ErrInvalid) {
		t.Errorf("no routing key: %v", err)
	}
}

// A heartbeat is a GET.
func TestHeartbeat(t *testing.T) {
	p := serve(t)
	beat, closeBeat, err := receiver.OpenBeat(p.URL+"/beat", webhook.Options{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := beat(t.Context()); err != nil || p.requests[0].Method != http.MethodGet ||
		p.requests[0].URL.Path != "/beat" {
		t.Error(err, p.requests)
	}
	p.status = 500
	if err := beat(t.Context()); err == nil {
		t.Error("a heartbeat that was refused is no error")
	}
	if err := closeBeat(); err != nil {
		t.Error(err)
	}
	if err := beat(t.Context()); !errors.Is(err, pillarbox.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
