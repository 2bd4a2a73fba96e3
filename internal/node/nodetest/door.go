package nodetest

import (
	"cmp"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/preset"
	"pillarbox/internal/signature"
	"pillarbox/internal/source"
)

// DoorTime is when the requests of Doors are signed, and received.
var DoorTime = time.Date(2026, 11, 25, 14, 12, 0, 123456000, time.UTC)

// Door is a request to a source with rules of its own, at /app, and what becomes of it on every
// front.
type Door struct {
	Name   string
	Source source.Settings
	Method string // POST where empty
	Target string // /app where empty
	Header []string
	Body   string

	Status   int
	Type     string // of the answer; empty for none
	Answer   string // the body; "receipt" for a receipt, "problem" for one that tells no reason
	Allow    string
	Problem  string   // a part of one with status 400
	Stored   bool     // as an event with this body
	Once     bool     // sent again, it is not stored again: its id is signed
	Removed  []string // headers that are not kept with it as they came; the others are
	KeptBody string   // the body that is stored; Body where empty
	Query    string   // that is stored; any where empty
	Said     []string // of what is not kept

	Page map[string]string // what the answer's header says for pages of other sites; nil for nothing
	Kept string            // the path that is kept; not looked at where empty

	Lines bool             // what is wrong with it is lost where lines of one name are joined
	Facts *pillarbox.Facts // that are known of the event; nil for none
}

// CheckEvent holds what is stored against what was sent.
func (d *Door) CheckEvent(t testing.TB, event *pillarbox.Event) {
	t.Helper()
	if want := cmp.Or(d.KeptBody, d.Body); string(event.Body) != want {
		t.Errorf("%s: the body is stored as %q, want %q", d.Name, event.Body, want)
	}
	if d.Query != "" && event.Query != d.Query {
		t.Errorf("%s: the query is stored as %q, want %q", d.Name, event.Query, d.Query)
	}
	if d.Kept != "" && event.Path != d.Kept {
		t.Errorf("%s: the path is kept as %q, want %q", d.Name, event.Path, d.Kept)
	}
	known, removed := event.Facts.Clone(), ""
	if known != nil {
		removed, known.Removed = known.Removed, ""
	}
	if !known.Equal(d.Facts) {
		t.Errorf("%s: what is known of it is %+v, want %+v", d.Name, known, d.Facts)
	}
	said := strings.Split(removed, ", ")
	for _, one := range d.Said {
		if !slices.Contains(said, one) {
			t.Errorf("%s: %q is not said to be removed: %s", d.Name, one, removed)
		}
	}
	d.checkHeader(t, event, removed)
}

func (d *Door) checkHeader(t testing.TB, event *pillarbox.Event, said string) {
	t.Helper()
	for i := 0; i < len(d.Header); i += 2 {
		name, value := http.CanonicalHeaderKey(d.Header[i]), d.Header[i+1]
		kept := slices.Contains(event.Header, pillarbox.HeaderField{Name: name, Value: value})
		if kept == slices.Contains(d.Removed, name) {
			t.Errorf("%s: %s is kept: %v", d.Name, name, kept)
		}
		if told := strings.Contains(said, "header "+name); told == kept {
			t.Errorf("%s: %s is kept: %v, and this is said of what is not: %s", d.Name, name, kept, said)
		}
	}
}

// The secrets of Doors.
const (
	doorSecret   = "the-secret-of-the-door"
	doorStandard = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	doorURL      = "https://example.org/app"
)

var doorKey = ed25519.NewKeyFromSeed([]byte("a seed of 32 bytes for the tests"))

func mac(algorithm func() hash.Hash, secret, message string) []byte {
	m := hmac.New(algorithm, []byte(secret))
	m.Write([]byte(message))
	return m.Sum(nil)
}

func hexMAC(secret, message string) string {
	return hex.EncodeToString(mac(sha256.New, secret, message))
}

func base64MAC(secret, message string) string {
	return base64.StdEncoding.EncodeToString(mac(sha256.New, secret, message))
}

// DoorSource is the source of a preset, at /app, with a secret of Doors.
func DoorSource(t testing.TB, name string) source.Settings {
	t.Helper()
	p := preset.Get(name)
	settings := source.Settings{Name: "app", Path: "/app", MaxBody: MaxBody, Methods: p.Methods,
		Handshake: p.Handshake, Answer: p.Answer, VerifyToken: "the-verify-token"}
	if p.Events {
		settings.CloudEvents = source.CloudEventsRequired
	}
	if p.Scheme == "" {
		return settings
	}
	rule := signature.Settings{Scheme: p.Scheme, Path: "/app", Secrets: []string{doorSecret}}
	switch name {
	case "standard-webhooks":
		rule.Secrets = []string{doorStandard}
	case "gitlab":
		rule.Secrets = []string{doorStandard, doorSecret}
	case "stripe":
		rule.Secrets = []string{"whsec_" + doorSecret}
	case "discord":
		rule.Secrets = []string{hex.EncodeToString(doorKey.Public().(ed25519.PublicKey))}
	case "twilio", "square":
		rule.URL = doorURL
	}
	verifier, err := signature.Compile(rule)
	if err != nil {
		t.Fatal(err)
	}
	settings.Signature = verifier
	return settings
}

// standardHeader signs as Standard Webhooks.
func standardHeader(id string, at time.Time, body string) []string {
	secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(doorStandard, "whsec_"))
	if err != nil {
		panic(err)
	}
	unix := strconv.FormatInt(at.Unix(), 10)
	return []string{"Webhook-Id", id, "Webhook-Timestamp", unix, "Webhook-Signature",
		"v1," + base64MAC(string(secret), id+"."+unix+"."+body)}
}

// SlackHeader signs a body for DoorSource of slack, at DoorTime.
func SlackHeader(body string) []string {
	unix := strconv.FormatInt(DoorTime.Unix(), 10)
	return []string{"X-Slack-Request-Timestamp", unix,
		"X-Slack-Signature", "v0=" + hexMAC(doorSecret, "v0:"+unix+":"+body)}
}

func discordHeader(body string) []string {
	unix := strconv.FormatInt(DoorTime.Unix(), 10)
	return []string{"X-Signature-Timestamp", unix,
		"X-Signature-Ed25519", hex.EncodeToString(ed25519.Sign(doorKey, []byte(unix+body)))}
}

func githubHeader(body string) []string {
	return []string{"X-Hub-Signature-256", "sha256=" + hexMAC(doorSecret, body)}
}

func stripeHeader(at time.Time, body string) []string {
	return []string{"Stripe-Signature", fmt.Sprintf("t=%d,v1=%s", at.Unix(),
		hexMAC("whsec_"+doorSecret, fmt.Sprintf("%d.%s", at.Unix(), body)))}
}

const (
	problemType = "application/problem+json"
	jsonType    = "application/json"
	textType    = "text/plain; charset=utf-8"
	formType    = "application/x-www-form-urlencoded"
)

// Doors are requests to every preset: genuine ones, forged ones, and handshakes; and those of
// AuthDoors.
func Doors(t testing.TB) []Door {
	t.Helper()
	doors := genuineDoors(t)
	doors = append(doors, forgedDoors(t)...)
	doors = append(doors, handshakeDoors(t)...)
	doors = append(doors, AuthDoors(t)...)
	doors = append(doors, addressDoors(t)...)
	doors = append(doors, redactDoors()...)
	doors = append(doors, eventDoors(t)...)
	doors = append(doors, pathDoors()...)
	doors = append(doors, pageDoors(t)...)
	return append(doors, plainDoors()...)
}

func genuineDoors(t testing.TB) []Door {
	from := func(name string) source.Settings { return DoorSource(t, name) }
	const body, receipt = `{"id":"evt_1","hello":"wörld"}`, "receipt"
	const graph = `{"value":[{"clientState":"` + doorSecret + `","resource":"me"}]}`
	form := "To=%2B18005551212&Body=a+b&Body=a+b"
	twiml := preset.Get("twilio").Answer
	return []Door{
		{Name: "github", Source: from("github"), Header: githubHeader(body), Body: body,
			Status: 202, Type: jsonType, Answer: receipt, Stored: true},
		{Name: "stripe", Source: from("stripe"), Header: stripeHeader(DoorTime, body), Body: body,
			Status: 200, Type: jsonType, Answer: receipt, Stored: true},
		{Name: "slack", Source: from("slack"), Header: SlackHeader(body), Body: body, Status: 200, Stored: true},
		{Name: "shopify", Source: from("shopify"), Header: []string{"X-Shopify-Hmac-Sha256", base64MAC(doorSecret, body)},
			Body: body, Status: 200, Stored: true},
		{Name: "twilio", Source: from("twilio"), Target: "/app?a=1&b=2", Body: form, Header: []string{
			"Content-Type", formType, "X-Twilio-Signature", base64.StdEncoding.EncodeToString(mac(sha1.New,
				doorSecret, doorURL+"?a=1&b=2"+"Bodya b"+"To+18005551212"))},
			Status: 200, Type: twiml.ContentType, Answer: twiml.Body, Stored: true},
		{Name: "gitlab, a token", Source: from("gitlab"), Header: []string{"X-Gitlab-Token", doorSecret, "X-Gitlab-Event", "Push Hook"},
			Body: body, Status: 200, Type: jsonType, Answer: receipt, Stored: true, Removed: []string{"X-Gitlab-Token"}},
		{Name: "gitlab, signed", Source: from("gitlab"), Header: standardHeader("1", DoorTime, body),
			Body: body, Status: 200, Type: jsonType, Answer: receipt, Stored: true, Once: true},
		{Name: "discord", Source: from("discord"), Header: discordHeader(`{"type":1,"event":{}}`), Body: `{"type":1,"event":{}}`,
			Status: 204, Stored: true},
		{Name: "square", Source: from("square"), Header: []string{"X-Square-Hmacsha256-Signature", base64MAC(doorSecret, doorURL+body)},
			Body: body, Status: 200, Stored: true},
		{Name: "meta", Source: from("meta"), Header: githubHeader(body), Body: body, Status: 200, Stored: true},
		{Name: "microsoft-graph", Source: from("microsoft-graph"), Body: graph,
			Status: 202, Type: jsonType, Answer: receipt, Stored: true},
		{Name: "standard-webhooks", Source: from("standard-webhooks"), Header: standardHeader("msg_1", DoorTime, body),
			Body: body, Status: 202, Type: jsonType, Answer: receipt, Stored: true, Once: true},
		{Name: "github, no body", Source: from("github"), Header: githubHeader(""), Status: 202, Type: jsonType,
			Answer: receipt, Stored: true},
	}
}

func forgedDoors(t testing.TB) (doors []Door) {
	const body = `{"id":"evt_1"}`
	late, early := DoorTime.Add(-signature.DefaultTolerance-time.Second), DoorTime.Add(signature.DefaultTolerance+2*time.Second)
	for name, c := range map[string]struct {
		preset string
		header []string
		body   string
	}{
		"github, no signature":       {"github", nil, body},
		"github, of another body":    {"github", githubHeader(body), body + " "},
		"github, twice":              {"github", append(githubHeader(body), githubHeader(body)...), body},
		"github, SHA-1":              {"github", []string{"X-Hub-Signature", "sha1=" + hexMAC(doorSecret, body)}, body},
		"stripe, too old":            {"stripe", stripeHeader(late, body), body},
		"stripe, from the future":    {"stripe", stripeHeader(early, body), body},
		"standard-webhooks, too old": {"standard-webhooks", standardHeader("1", late, body), body},
		"standard-webhooks, another id": {"standard-webhooks",
			append([]string{"Webhook-Id", "2"}, standardHeader("1", DoorTime, body)[2:]...), body},
		"slack, of another body":       {"slack", SlackHeader(body), "{}"},
		"slack, an unsigned challenge": {"slack", nil, `{"type":"url_verification","challenge":"c"}`},
		"discord, an unsigned PING":    {"discord", discordHeader(body), `{"type":1}`},
		"discord, no signature":        {"discord", nil, `{"type":1}`},
		"gitlab, another token":        {"gitlab", []string{"X-Gitlab-Token", doorSecret + "r"}, body},
		"microsoft-graph, another":     {"microsoft-graph", nil, `{"value":[{"clientState":"of somebody else"}]}`},
		"twilio, a parameter more": {"twilio", []string{"X-Twilio-Signature",
			base64.StdEncoding.EncodeToString(mac(sha1.New, doorSecret, doorURL+"?a=1"))}, ""},
		"shopify, in hexadecimal": {"shopify", []string{"X-Shopify-Hmac-Sha256", hexMAC(doorSecret, body)}, body},
		"square, of another URL":  {"square", []string{"X-Square-Hmacsha256-Signature", base64MAC(doorSecret, body)}, body},
	} {
		doors = append(doors, Door{Name: name, Source: DoorSource(t, c.preset), Header: c.header, Body: c.body,
			Status: 401, Type: problemType, Answer: "problem"})
	}
	return doors
}

func handshakeDoors(t testing.TB) []Door {
	from := func(name string) source.Settings { return DoorSource(t, name) }
	const challenge = `{"type":"url_verification","challenge":"3eZbrw1a"}`
	const verify = "/app?hub.challenge=1158201444&hub.mode=subscribe&hub.verify_token="
	const alive = `{"status":"ok"}` + "\n"
	return []Door{
		{Name: "slack, a challenge", Source: from("slack"), Header: SlackHeader(challenge), Body: challenge,
			Status: 200, Type: textType, Answer: "3eZbrw1a"},
		{Name: "discord, PING of interactions", Source: from("discord"), Header: discordHeader(`{"type":1}`), Body: `{"type":1}`,
			Status: 200, Type: jsonType, Answer: `{"type":1}`},
		{Name: "discord, PING of events", Source: from("discord"), Header: discordHeader(`{"type":0}`), Body: `{"type":0}`, Status: 204},
		{Name: "meta, verified", Source: from("meta"), Method: "GET", Target: verify + "the-verify-token",
			Status: 200, Type: textType, Answer: "1158201444"},
		{Name: "meta, not verified", Source: from("meta"), Method: "GET", Target: verify + "another",
			Status: 403, Type: problemType, Answer: "problem"},
		{Name: "meta, alive", Source: from("meta"), Method: "GET", Status: 200, Type: jsonType, Answer: alive},
		{Name: "microsoft-graph, a token", Source: from("microsoft-graph"), Target: "/app?validationToken=Validation%3A+Testing",
			Status: 200, Type: textType, Answer: "Validation: Testing"},
		{Name: "microsoft-graph, a token with a body", Source: from("microsoft-graph"), Target: "/app?validationToken=a", Body: "{}",
			Status: 200, Type: textType, Answer: "a"},
		{Name: "cloudevents, permission", Source: from("cloudevents"), Method: "OPTIONS", Status: 200, Allow: "POST",
			Header: []string{"WebHook-Request-Origin", "eventemitter.example.com"}},
	}
}

// plainDoors have no signature and no handshake, but methods and answers.
func plainDoors() []Door {
	app := source.Settings{Name: "app", Path: "/app", MaxBody: MaxBody}
	more := app
	more.Methods = []string{"POST", "PUT", "GET"}
	text, empty, none := app, app, app
	text.Answer = preset.Answer{Status: 201, Body: "[accepted]", ContentType: textType}
	empty.Answer = preset.Answer{Status: 200}
	none.Answer = preset.Answer{Status: 204}
	const allow = "GET, HEAD, OPTIONS, POST"
	return []Door{
		{Name: "OPTIONS", Source: app, Method: "OPTIONS", Status: 204, Allow: allow},
		{Name: "HEAD", Source: app, Method: "HEAD", Status: 200, Type: jsonType},
		{Name: "PUT where it is not stored", Source: app, Method: "PUT", Body: "x", Status: 405, Type: problemType,
			Answer: "problem", Allow: allow},
		{Name: "PUT where it is stored", Source: more, Method: "PUT", Body: "x", Status: 202, Type: jsonType, Answer: "receipt", Stored: true},
		{Name: "GET where it is stored", Source: more, Method: "GET", Target: "/app?a=1", Status: 202, Type: jsonType,
			Answer: "receipt", Stored: true},
		{Name: "OPTIONS where PUT is stored", Source: more, Method: "OPTIONS", Status: 204, Allow: "GET, HEAD, OPTIONS, POST, PUT"},
		{Name: "DELETE where PUT is stored", Source: more, Method: "DELETE", Status: 405, Type: problemType, Answer: "problem",
			Allow: "GET, HEAD, OPTIONS, POST, PUT"},
		{Name: "a body of one's own", Source: text, Body: "x", Status: 201, Type: textType, Answer: "[accepted]", Stored: true},
		{Name: "no body", Source: empty, Body: "x", Status: 200, Stored: true},
		{Name: "no content", Source: none, Body: "x", Status: 204, Stored: true},
		{Name: "too large for an answer of one's own", Source: none, Body: strings.Repeat("x", MaxBody+1), Status: 413,
			Type: problemType, Answer: "problem"},
	}
}

// Check compares an answer with what the door wants.
func (d *Door) Check(t testing.TB, got Answer) {
	t.Helper()
	if got.Status != d.Status || got.Header.Get("Content-Type") != d.Type || got.Header.Get("Allow") != d.Allow {
		t.Errorf("%s: answered with %d, Content-Type %q, Allow %q, %q; want %d, %q, %q", d.Name, got.Status,
			got.Header.Get("Content-Type"), got.Header.Get("Allow"), got.Body, d.Status, d.Type, d.Allow)
	}
	if got.Header.Get("X-Content-Type-Options") != "nosniff" || d.Stored != (got.Header.Get("X-Request-Id") != "") {
		t.Errorf("%s: answered with %v", d.Name, got.Header)
	}
	for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods",
		"Access-Control-Allow-Headers", "Access-Control-Max-Age", "Access-Control-Expose-Headers", "Vary"} {
		if values := got.Header.Values(name); strings.Join(values, "; ") != d.Page[name] {
			t.Errorf("%s: %s is %q, want %q", d.Name, name, values, d.Page[name])
		}
	}
	switch d.Answer {
	case "receipt":
		if !strings.HasPrefix(got.Body, `{"request_id":"`) {
			t.Errorf("%s: the receipt is %q", d.Name, got.Body)
		}
	case "problem":
		d.checkProblem(t, got)
	default:
		if got.Body != d.Answer {
			t.Errorf("%s: the body is %q, want %q", d.Name, got.Body, d.Answer)
		}
	}
}

// checkProblem sees that a refusal is the same whatever was wrong with a signature or a credential.
func (d *Door) checkProblem(t testing.TB, got Answer) {
	t.Helper()
	detail := "the request is not verified; nothing was stored"
	if d.Status == 400 && !strings.Contains(got.Body, d.Problem) {
		t.Errorf("%s: the problem is %q, want %q", d.Name, got.Body, d.Problem)
	}
	if d.Source.Signature == nil {
		detail = "the request comes with no credential that opens this source; nothing was stored"
	}
	unverified := `{"type":"about:blank","title":"Unauthorized","status":401,"detail":"` + detail + `"}` + "\n"
	if d.Status == 401 && (got.Body != unverified || got.Header.Get("WWW-Authenticate") == "") {
		t.Errorf("%s: the answer is %v %q, want %q", d.Name, got.Header, got.Body, unverified)
	}
	if strings.Contains(got.Body, doorSecret) || !strings.Contains(got.Body, strconv.Itoa(d.Status)) {
		t.Errorf("%s: the problem is %q", d.Name, got.Body)
	}
}
