package preset_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/preset"
	"pillarbox/internal/protocol"
	"pillarbox/internal/signature"
)

func TestPresetsAreWhatTheSendersWant(t *testing.T) {
	want := "cloudevents discord github gitlab meta microsoft-graph shopify slack square standard-webhooks stripe twilio"
	if got := strings.Join(preset.Names(), " "); got != want {
		t.Errorf("the presets are %s, want %s", got, want)
	}
	for _, name := range preset.Names() {
		p := preset.Get(name)
		if p.Name != name || p.Scheme != "" && !slices.Contains(signature.Schemes(), p.Scheme) {
			t.Errorf("%s: its name is %q and its scheme %q", name, p.Name, p.Scheme)
		}
		if !slices.Contains(preset.Handshakes(), string(p.Handshake)) || len(p.Methods) == 0 {
			t.Errorf("%s: its handshake is %q, its methods are %q", name, p.Handshake, p.Methods)
		}
		kind, place, _ := strings.Cut(p.Key, ":")
		switch {
		case (kind == "none" || kind == "cloudevents") && place == "":
		case kind == "header" && place != "", kind == "body" && strings.HasPrefix(place, "/"):
		default:
			t.Errorf("%s: the place of its id is %q", name, p.Key)
		}
		answer := p.Answer
		body := answer.Body != "" && answer.Body != preset.Receipt
		if answer.Status < 200 || answer.Status > 299 || body != (answer.ContentType != "") ||
			answer.Body != "" && !protocol.HasBody(answer.Status) {
			t.Errorf("%s answers with %+v", name, answer)
		}
	}
	if preset.Get("githib") != nil {
		t.Error("there is a preset that is none")
	}
}

func greeter(kind preset.Handshake) *preset.Greeter {
	return preset.NewGreeter(kind, preset.Options{VerifyToken: "my-verify-token"})
}

// said is how a handshake was answered: the status, and the body of what is no refusal.
func said(t *testing.T, err error) (int, string) {
	t.Helper()
	var reply *protocol.Reply
	switch {
	case err == nil:
		return 0, ""
	case errors.As(err, &reply):
		header, body := reply.Answer()
		if !reply.Handshake || header.Get("X-Content-Type-Options") != "nosniff" ||
			len(body) > 0 && header.Get("Content-Type") == "" {
			t.Errorf("%q is answered with %v", body, header)
		}
		return reply.Status, string(body)
	}
	return protocol.StatusOf(err), ""
}

// TestHandshakesByTheirHead has the requests of the senders' documents, and what only looks like
// them. 0 stands for what is no handshake.
func TestHandshakesByTheirHead(t *testing.T) {
	const token = "hub.verify_token=my-verify-token"
	for _, c := range []struct {
		kind          preset.Handshake
		method, query string
		status        int
		body          string
	}{
		{preset.Meta, "GET", "hub.mode=subscribe&hub.challenge=1158201444&" + token, 200, "1158201444"},
		{preset.Meta, "GET", "hub%2Emode=subscribe&hub.challenge=a%20b&" + token, 200, "a b"},
		{preset.Meta, "GET", "hub.mode=subscribe&hub.challenge=1&hub.verify_token=another", 403, ""},
		{preset.Meta, "GET", "hub.mode=subscribe&hub.challenge=1&hub.verify_token=", 403, ""},
		{preset.Meta, "GET", "hub.mode=subscribe&hub.challenge=1", 403, ""},
		{preset.Meta, "GET", "hub.mode=subscribe&" + token, 403, ""},
		{preset.Meta, "GET", "hub.mode=subscribe&hub.challenge=1&hub.challenge=2&" + token, 403, ""},
		{preset.Meta, "GET", "hub.mode=subscribe&hub.challenge=a%0Ab&" + token, 403, ""},
		{preset.Meta, "GET", "hub.mode=unsubscribe&hub.challenge=1&" + token, 403, ""},
		{preset.Meta, "GET", "hub.mode=subscribe&hub.challenge=" + strings.Repeat("1", 5000) + "&" + token, 403, ""},
		{preset.Meta, "GET", "", 0, ""},
		{preset.Meta, "POST", "hub.mode=subscribe&hub.challenge=1&" + token, 0, ""},
		{preset.MicrosoftGraph, "POST", "validationToken=Validation%3A+Testing+client%20application", 200,
			"Validation: Testing client application"},
		{preset.MicrosoftGraph, "POST", "a=1&validationToken=%3Cscript%3E", 200, "<script>"},
		{preset.MicrosoftGraph, "POST", "validationToken=", 400, ""},
		{preset.MicrosoftGraph, "POST", "validationToken=a&validationToken=b", 400, ""},
		{preset.MicrosoftGraph, "POST", "validationToken=%00", 400, ""},
		{preset.MicrosoftGraph, "POST", "validationToken=%zz", 400, ""},
		{preset.MicrosoftGraph, "POST", "validationToken=" + strings.Repeat("a", 5000), 400, ""},
		{preset.MicrosoftGraph, "POST", "x=validationToken", 0, ""},
		{preset.MicrosoftGraph, "POST", "xvalidationToken=1", 0, ""},
		{preset.MicrosoftGraph, "POST", "", 0, ""},
		{preset.MicrosoftGraph, "GET", "validationToken=a", 0, ""},
		{preset.CloudEvents, "OPTIONS", "", 200, ""},
		{preset.CloudEvents, "POST", "", 0, ""},
		{preset.Slack, "GET", "hub.mode=subscribe&hub.challenge=1&" + token, 0, ""},
		{preset.NoHandshake, "GET", "hub.mode=subscribe&hub.challenge=1&" + token, 0, ""},
	} {
		err := greeter(c.kind).BeforeBody(c.method, c.query, pillarbox.Header{
			{Name: "Webhook-Request-Origin", Value: "eventemitter.example.com"}})
		if status, body := said(t, err); status != c.status || body != c.body {
			t.Errorf("%s: %s ?%.100s is answered with %d %q, want %d %q", c.kind, c.method, c.query, status, body, c.status, c.body)
		}
	}
	err := preset.NewGreeter(preset.Meta, preset.Options{}).BeforeBody("GET",
		"hub.mode=subscribe&hub.challenge=1&hub.verify_token=", nil)
	if status, _ := said(t, err); status != http.StatusForbidden {
		t.Errorf("without a token, an empty one is answered with %d", status)
	}
}

func TestCloudEventsArePermitted(t *testing.T) {
	asks := pillarbox.Header{{Name: "Webhook-Request-Origin", Value: "eventemitter.example.com"},
		{Name: "Webhook-Request-Rate", Value: "120"}}
	for perMinute, rate := range map[int]string{0: "*", 6000: "6000"} {
		var reply *protocol.Reply
		g := preset.NewGreeter(preset.CloudEvents, preset.Options{PerMinute: perMinute})
		if !errors.As(g.BeforeBody("OPTIONS", "", asks), &reply) {
			t.Fatal("the question is not answered")
		}
		header, _ := reply.Answer()
		for name, want := range map[string]string{"WebHook-Allowed-Origin": "*", "WebHook-Allowed-Rate": rate, "Allow": "POST"} {
			if got := header.Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
	}
	if err := greeter(preset.CloudEvents).BeforeBody("OPTIONS", "", nil); err != nil {
		t.Errorf("OPTIONS of nobody is answered with %v", err)
	}
}

func TestHandshakesInABody(t *testing.T) {
	long := strings.Repeat(" ", 16<<10)
	for _, c := range []struct {
		kind       preset.Handshake
		body       string
		status     int
		answerBody string
	}{
		{preset.Slack, `{"token":"Jhj5dZrVaK7ZwHHjRyZWjbDl","challenge":"3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",` +
			`"type":"url_verification"}`, 200, "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"},
		{preset.Slack, `{"type":"url_verification"}`, 400, ""},
		{preset.Slack, `{"type":"url_verification","challenge":"a\u0000"}`, 400, ""},
		{preset.Slack, `{"type":"event_callback","event":{"type":"message","text":"url_verification"}}`, 0, ""},
		{preset.Slack, `{"event":{"type":"url_verification","challenge":"1"}}`, 0, ""},
		{preset.Slack, `url_verification`, 0, ""},
		{preset.Slack, `{"type":"url_verification","challenge":"1"}` + long, 0, ""},
		{preset.Slack, ``, 0, ""},
		{preset.Discord, `{"app_permissions":"562949953601536","application_id":"1","id":"2","token":"t","type":1,"version":1}`, 200, `{"type":1}`},
		{preset.Discord, `{"version":1,"application_id":"1234560123453231555","type":0}`, 204, ""},
		{preset.Discord, `{"version":1,"application_id":"1","type":1,"event":{"type":"APPLICATION_AUTHORIZED"}}`, 0, ""},
		{preset.Discord, `{"type":2,"data":{"name":"ping"}}`, 0, ""},
		{preset.Discord, `{"version":1}`, 0, ""},
		{preset.Discord, `{"type":"1"}`, 0, ""},
		{preset.Discord, `[]`, 0, ""},
		{preset.Discord, ``, 0, ""},
		{preset.Meta, `{"type":1}`, 0, ""},
		{preset.NoHandshake, `{"type":1}`, 0, ""},
	} {
		if status, body := said(t, greeter(c.kind).WithBody([]byte(c.body))); status != c.status || body != c.answerBody {
			t.Errorf("%s: %.100s is answered with %d %q, want %d %q", c.kind, c.body, status, body, c.status, c.answerBody)
		}
	}
}
