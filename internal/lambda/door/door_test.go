package door_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/apikey"
	"pillarbox/internal/jwt"
	"pillarbox/internal/lambda/door"
	"pillarbox/internal/source"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// elsewhere is where secrets and keys are kept.
type elsewhere struct {
	secrets map[string]string
	version string
	keys    []byte
	err     error
	calls   int
}

func (e *elsewhere) Secrets(_ context.Context, known string) (map[string]string, string, error) {
	if e.calls++; e.err != nil {
		return nil, "", e.err
	}
	if known == e.version {
		return nil, known, nil
	}
	return e.secrets, e.version, nil
}

func (e *elsewhere) Keys(_ context.Context, known string) ([]byte, string, error) {
	if e.calls++; e.err != nil {
		return nil, "", e.err
	}
	if e.keys == nil {
		return nil, "", pillarbox.ErrNotFound
	}
	if known == string(e.keys) {
		return nil, known, nil
	}
	return e.keys, string(e.keys), nil
}

// bench is a door on a clock of its own.
type bench struct {
	*door.Door
	t   *testing.T
	now time.Time
	log bytes.Buffer
}

func open(t *testing.T, text string, opts door.Options) (*bench, error) {
	t.Helper()
	b := &bench{t: t, now: time.Date(2026, 11, 29, 14, 0, 0, 0, time.UTC)}
	opts.Path, opts.Text, opts.Issuers = "sources.yaml", []byte(text), jwt.New(jwt.Options{})
	opts.Now = func() time.Time { return b.now }
	opts.Source = source.Options{Logger: slog.New(slog.NewJSONHandler(&b.log, nil)), Now: opts.Now}
	var err error
	b.Door, err = door.Open(opts)
	return b, err
}

// opens reports whether a request comes in.
func (b *bench) opens(path string, header ...string) bool {
	b.t.Helper()
	route := b.Sources().Table().Single(path)
	if route == nil {
		return false
	}
	head := &source.Head{Method: "POST", Path: path}
	for i := 0; i < len(header); i += 2 {
		head.Header = append(head.Header, pillarbox.HeaderField{Name: header[i], Value: header[i+1]})
	}
	_, err := route.Source.Admit(head)
	return err == nil
}

const users = "sources: { app: { auth: [{ basic: { users: [\"a:${PASSWORD}\"] } }] } }"

// basic is of the user a and the password "sixteen-letters-" with one more.
var basic = map[string]string{"1": "Basic YTpzaXh0ZWVuLWxldHRlcnMtMQ==", "2": "Basic YTpzaXh0ZWVuLWxldHRlcnMtMg=="}

// TestNoSourceIsOpenBeforeItsSecretsAreThere, and the secrets of a later moment count from then on.
func TestNoSourceIsOpenBeforeItsSecretsAreThere(t *testing.T) {
	e := &elsewhere{err: pillarbox.ErrUnavailable}
	b, err := open(t, users, door.Options{Secrets: e.Secrets})
	if err != nil {
		t.Fatal(err)
	}
	refused := func() {
		t.Helper()
		if err := b.Refresh(t.Context()); !errors.Is(err, pillarbox.ErrUnavailable) {
			t.Errorf("refreshed: %v", err)
		}
		if b.Sources().Table().Single("/app") != nil {
			t.Error("the source is there")
		}
	}
	refused()
	e.err, e.secrets, e.version = nil, map[string]string{"OTHER": "x"}, "0"
	refused()
	e.secrets = map[string]string{"PASSWORD": "short"}
	refused()
	set := func(password string) {
		e.secrets, e.version = map[string]string{"PASSWORD": "sixteen-letters-" + password}, password
	}
	set("1")
	if err := b.Refresh(t.Context()); err != nil || !b.opens("/app", "Authorization", basic["1"]) ||
		b.opens("/app") || b.opens("/app", "Authorization", basic["2"]) {
		t.Fatalf("refreshed: %v", err)
	}
	set("2")
	b.now = b.now.Add(door.SecretsEvery - time.Second)
	if err := b.Refresh(t.Context()); err != nil || !b.opens("/app", "Authorization", basic["1"]) {
		t.Errorf("asked again too early: %v", err)
	}
	b.now = b.now.Add(time.Second)
	if err := b.Refresh(t.Context()); err != nil || b.opens("/app", "Authorization", basic["1"]) ||
		!b.opens("/app", "Authorization", basic["2"]) {
		t.Errorf("the new secret is not in force: %v", err)
	}
}

// TestWhatIsAtHandStaysInForce while its place is away, or has something that can't be used; and it is
// asked again soon.
func TestWhatIsAtHandStaysInForce(t *testing.T) {
	e := &elsewhere{secrets: map[string]string{"PASSWORD": "sixteen-letters-1"}, version: "1"}
	b, err := open(t, users, door.Options{Secrets: e.Secrets})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(){
		"WARN":  func() { e.err = pillarbox.ErrUnavailable },
		"ERROR": func() { e.err, e.secrets, e.version = nil, map[string]string{"PASSWORD": "short"}, "bad" },
	} {
		spoil()
		b.log.Reset()
		b.now = b.now.Add(door.SecretsEvery)
		before := e.calls
		for range 3 { // one is made, and the next not yet
			if err := b.Refresh(t.Context()); err != nil || !b.opens("/app", "Authorization", basic["1"]) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if e.calls != before+1 || strings.Count(b.log.String(), `"level":"`+name+`"`) != 1 {
			t.Errorf("%s: %d calls, and this is said: %s", name, e.calls-before, b.log.String())
		}
		if strings.Contains(b.log.String(), "sixteen") {
			t.Errorf("a secret is in the log: %s", b.log.String())
		}
	}
	e.err, e.secrets, e.version = nil, map[string]string{"PASSWORD": "sixteen-letters-2"}, "2"
	b.now = b.now.Add(10 * time.Second)
	if err := b.Refresh(t.Context()); err != nil || !b.opens("/app", "Authorization", basic["2"]) {
		t.Errorf("it is not in force 10 s after it was mended: %v", err)
	}
	b.now = b.now.Add(-24 * time.Hour)
	before := e.calls
	if err := b.Refresh(t.Context()); err != nil || e.calls != before+1 {
		t.Errorf("a clock that was set back holds up the next call: %v", err)
	}
}

// TestKeysCountWithinAMinute, those that are made and those that are revoked.
func TestKeysCountWithinAMinute(t *testing.T) {
	e := &elsewhere{}
	b, err := open(t, "sources: { app: { auth: [{ api_key: true }] } }", door.Options{Keys: e.Keys})
	if err != nil {
		t.Fatal(err)
	}
	disk := faultfs.New(faultfs.Options{})
	store, err := apikey.OpenStore(disk, apikey.Options{})
	if err != nil {
		t.Fatal(err)
	}
	refresh := func() {
		t.Helper()
		b.now = b.now.Add(door.KeysEvery)
		if err := b.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	refresh()
	key, text, err := store.Create(apikey.New{})
	if err != nil {
		t.Fatal(err)
	}
	published := func() {
		t.Helper()
		if e.keys, err = vfs.ReadFile(disk, apikey.FileName, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	published()
	if b.opens("/app", "X-Api-Key", text) || b.opens("/app") {
		t.Error("a key opens that was not read")
	}
	refresh()
	if !b.opens("/app", "X-Api-Key", text) || b.opens("/app") {
		t.Error("the key does not open")
	}
	e.keys = append(bytes.Clone(e.keys), 'x') // damage
	refresh()
	if !b.opens("/app", "X-Api-Key", text) {
		t.Error("a damaged file ends keys")
	}
	if _, err := store.Revoke(key.ID); err != nil {
		t.Fatal(err)
	}
	published()
	refresh()
	if b.opens("/app", "X-Api-Key", text) {
		t.Error("a revoked key opens")
	}
}

// TestKeysThatCantBeReadOpenNothing: neither with a key nor without.
func TestKeysThatCantBeReadOpenNothing(t *testing.T) {
	e := &elsewhere{err: pillarbox.ErrUnavailable}
	b, err := open(t, "sources: { app: { auth: [{ api_key: true }] } }", door.Options{Keys: e.Keys})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Refresh(t.Context()); !errors.Is(err, pillarbox.ErrUnavailable) || b.opens("/app") {
		t.Errorf("refreshed: %v", err)
	}
}

// TestAFileThatCantBeUsedIsRefusedAtTheStart, where that can be said before any secret is there.
func TestAFileThatCantBeUsedIsRefusedAtTheStart(t *testing.T) {
	for text, want := range map[string]string{
		"sources: [":                   "sources.yaml:1",
		users:                          "the environment variable PASSWORD is not set",
		"data: /tmp":                   "data: has no effect on AWS",
		"log: { level: \"${LEVEL}\" }": "LEVEL is not set",
		"sources: { app: { auth: [{ api_key: true }] } }":             "set PILLARBOX_API_KEYS_BUCKET",
		"sources: { app: { max_body: 2MiB } }":                        "set PILLARBOX_BODIES_BUCKET",
		"sources: { app: { rate: { per_second: 5 } } }":               "throttle_per_second",
		"sources: { app: { signature: { on_failure: quarantine } } }": "on_failure",
		"sources: { app: { path: / } }":                               "the root of the stage",
	} {
		b, err := open(t, text, door.Options{MaxBody: 1 << 20})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if len(b.Sources().Table().All()) != 0 {
			t.Errorf("%s: sources are open", text)
		}
	}
}

// TestVariablesOfTheFunctionAreNotThoseOfTheFile: PILLARBOX_LOG_LEVEL is of the function, and no key of
// the file.
func TestVariablesOfTheFunctionAreNotThoseOfTheFile(t *testing.T) {
	window := time.Duration(0)
	_, err := open(t, "idempotency: { window: 1h }\nsources: { app: { path: \"${BASE}/app\" } }", door.Options{
		Env: func(name string) (string, bool) {
			return map[string]string{"BASE": "/v1", "PILLARBOX_LOG_LEVEL": "nonsense", "PILLARBOX_IDEMPOTENCY_WINDOW": "2h"}[name], true
		}, Window: func(w time.Duration) { window = w }})
	if err != nil || window != time.Hour {
		t.Errorf("%v, a window of %v", err, window)
	}
}
