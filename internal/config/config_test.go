package config_test

import (
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/config"
)

// env is an environment for a test; nothing else is in it.
type env map[string]string

func (e env) get(name string) (string, bool) {
	value, ok := e[name]
	return value, ok
}

func load(t *testing.T, text string, variables env, flags map[string]string) *config.Config {
	t.Helper()
	loaded, err := config.Load(config.Input{Path: "p.yaml", Text: []byte(text), Env: variables.get,
		Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// refusal returns the text of the error.
func refusal(text string, variables env, flags map[string]string) string {
	_, err := config.Load(config.Input{Path: "p.yaml", Text: []byte(text), Env: variables.get,
		Flags: flags})
	return fmt.Sprint(err)
}

// same reports whether two configurations have the same values, wherever they come from.
func same(a, b *config.Config) bool { return len(config.Changed(a, b)) == 0 }

func TestNothingSetIsTheDefault(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "admin:\nsources:\nlisten:\n",
		"sources: {}\n", "\xef\xbb\xbf"} {
		if got := load(t, text, nil, nil); !same(got, config.Default()) {
			t.Errorf("%q: got %v", text, config.Changed(got, config.Default()))
		}
	}
	defaults := config.Default()
	app, events := defaults.Sources["app"], defaults.Destinations["events"]
	if !reflect.DeepEqual(defaults.Listen, config.Listen{Address: []string{":8080"}, Express: true, SocketMode: 0o600}) || app.Path != "/app" ||
		app.MaxBody != 1<<20 || events.URL != "sqlite:" ||
		events.MaxAttempts != 20 || defaults.Queue.MaxAge.Std() != 14*24*time.Hour ||
		defaults.Log.SlogLevel() != slog.LevelInfo {
		t.Errorf("got %+v", defaults)
	}
}

func TestFlagBeforeEnvBeforeFile(t *testing.T) {
	text := "listen: :1\ndata: file\nqueue: {max_bytes: 1GiB}\nlog: {level: warn}\n"
	variables := env{"PILLARBOX_LISTEN": ":2", "PILLARBOX_QUEUE_MAX_BYTES": "2GiB",
		"PILLARBOX_DATA":          "",
		"PILLARBOX_PORT_8080_TCP": "tcp://10.0.0.1:8080", "PILLARBOX_SERVICE_HOST": "10.0.0.1"}
	got := load(t, text, variables, map[string]string{"listen": ":3"})
	if !slices.Equal(got.Listen.Address, []string{":3"}) || got.Queue.MaxBytes != 2<<30 || got.Data != "file" ||
		got.Log.SlogLevel() != slog.LevelWarn {
		t.Errorf("got %+v", got)
	}
	for key, want := range map[string]string{
		"listen": "flag", "queue.max_bytes": "env PILLARBOX_QUEUE_MAX_BYTES", "data": "file p.yaml:2:7", "queue.max_age": "default",
	} {
		if origin := got.Origin(key); origin != want {
			t.Errorf("%s: got %q, want %q", key, origin, want)
		}
	}
}

// Every single key outside the maps can be set from the environment, under the name that the rule
// gives.
func TestEveryKeyCanComeFromTheEnvironment(t *testing.T) {
	values := map[string]string{"listen": ":1", "admin.listen": "127.0.0.1:2",
		"admin.token":    "a-token-of-16-ch",
		"log.level":      "debug",
		"listen.express": "false", "log.format": "json", "log.access": "combined", "queue.url": "memory:", "bodies.url": "s3://bucket/x", "idempotency.url": "dynamodb://eu-west-2/keys", "api_keys.url": "s3://bucket/keys.json", "dead_letters.url": "files:x", "data": "elsewhere"}
	text := map[string]string{"http.max_rate_clients": "sources: {app: {rate: {per_second: 1, by: address}}}"}
	keys := config.Keys()
	if len(keys) < 20 || !slices.Contains(keys, "http.max_in_flight_bytes") {
		t.Fatalf("got only the keys %v", keys)
	}
	needs := map[string]env{
		"http.rate.burst":       {"PILLARBOX_HTTP_RATE_PER_SECOND": "1"},
		"listen.socket_mode":    {"PILLARBOX_LISTEN": "unix:/s"},
		"listen.proxy_protocol": {"PILLARBOX_TRUSTED_PROXIES": "10.0.0.0/8,192.0.2.1"},
		"tls.acme.email":        {"PILLARBOX_TLS_ACME_DOMAINS": "a.example.org"},
		"tls.acme.directory":    {"PILLARBOX_TLS_ACME_DOMAINS": "a.example.org"},
		"forwarded_header":      {"PILLARBOX_TRUSTED_PROXIES": "192.0.2.1"},
		"metrics.otlp.tls.ca":   {"PILLARBOX_METRICS_OTLP_ENDPOINT": "https://collector:4318"},
		"metrics.otlp.tls.cert": {"PILLARBOX_METRICS_OTLP_ENDPOINT": "https://collector:4318", "PILLARBOX_METRICS_OTLP_TLS_KEY": "k.pem"},
		"metrics.otlp.tls.key":  {"PILLARBOX_METRICS_OTLP_ENDPOINT": "https://collector:4318", "PILLARBOX_METRICS_OTLP_TLS_CERT": "c.pem"},
		"tracing.otlp.tls.ca":   {"PILLARBOX_TRACING_OTLP_ENDPOINT": "https://collector:4318"},
		"canary.every":          {"PILLARBOX_CANARY_ENABLED": "true"},
		"canary.timeout":        {"PILLARBOX_CANARY_ENABLED": "true"},
		"canary.url":            {"PILLARBOX_CANARY_ENABLED": "true"},
		"canary.secret":         {"PILLARBOX_CANARY_ENABLED": "true", "PILLARBOX_CANARY_URL": "https://in.example.com"},
		"tracing.otlp.tls.cert": {"PILLARBOX_TRACING_OTLP_ENDPOINT": "https://collector:4318", "PILLARBOX_TRACING_OTLP_TLS_KEY": "k.pem"},
		"tracing.otlp.tls.key":  {"PILLARBOX_TRACING_OTLP_ENDPOINT": "https://collector:4318", "PILLARBOX_TRACING_OTLP_TLS_CERT": "c.pem"},
	}
	for key, value := range map[string]string{"tracing.ratio": "0.5", "tracing.otlp.endpoint": "http://collector:4318", "tracing.otlp.protocol": "grpc",
		"metrics.otlp.endpoint": "http://collector:4318", "metrics.otlp.protocol": "grpc", "metrics.every": "29s", "metrics.native_histograms": "true",
		"canary.enabled": "true", "canary.every": "29s", "canary.url": "https://in.example.com", "canary.secret": "0123456789abcdef",
		"listen.socket_mode": "0660", "listen.proxy_protocol": ":8080",
		"encryption.key": "env:KEY", "encryption.old_keys": "env:A, age:/etc/key", "listen.ready_path": "/ready", "tls.acme.domains": "a.example.org,b.example.org", "tls.acme.email": "a@example.org",
		"tls.acme.directory": "https://ca.example.org/directory", "trusted_proxies": "10.0.0.0/8, 192.0.2.1", "forwarded_header": "Forwarded"} {
		values[key] = value
	}
	for key, value := range map[string]string{"every": "29s", "resolve_after": "1h", "group_wait": "29s", "repeat.high": "29s", "repeat.low": "29s", "heartbeat.url": "https://beat.example.org",
		"heartbeat.every": "29s", "heartbeat.allow_private": "true", "quiet_hours.from": "22:00", "quiet_hours.to": "07:00", "quiet_hours.time_zone": "UTC", "quiet_hours.days": "sat,sun"} {
		values["alerts."+key] = value
		values["alerts.dashboard"] = "https://box.example.org/"
	}
	for _, key := range keys {
		if strings.HasPrefix(key, "alerts.") {
			text[key] = "alerts: {receivers: [{name: a, kind: slack, url: x}]}"
			needs[key] = env{"PILLARBOX_ALERTS_HEARTBEAT_URL": "https://beat.example.org", "PILLARBOX_ALERTS_RESOLVE_AFTER": "1h"}
			delete(needs[key], config.EnvName(key))
		}
		if key == "tls.client_ca" { // needs lists of sections, which the environment has not
			continue
		}
		value := values[key]
		if value == "" {
			value = map[bool]string{true: "29s", false: "31999"}[strings.Contains(key, "timeout") ||
				strings.Contains(key, "age") || strings.Contains(key, "window") || strings.Contains(key, "wait") || strings.Contains(key, "grace") || strings.Contains(key, "delay")]
		}
		if key == "queue.max_bytes" {
			value = "1GiB"
		}
		if key == "queue.segment_bytes" || key == "quarantine.max_bytes" || key == "http.max_in_flight_bytes" {
			value = "65MiB"
		}
		if key == "http.write_timeout" {
			value = "99s"
		}
		variables := env{config.EnvName(key): value}
		maps.Copy(variables, needs[key])
		got := load(t, text[key], variables, nil)
		if text[key] != "" {
			if got.Origin(key) != "env "+config.EnvName(key) {
				t.Errorf("%s: the origin is %s", key, got.Origin(key))
			}
			continue
		}
		changes := config.Changed(config.Default(), got)
		if len(changes) != 1+len(needs[key]) || !slices.ContainsFunc(changes, func(c config.Change) bool { return c.Key == key }) {
			t.Errorf("%s=%s changed %v", config.EnvName(key), value, changes)
		}
	}
	if name := config.EnvName("http.max_in_flight_bytes"); name != "PILLARBOX_HTTP_MAX_IN_FLIGHT_BYTES" {
		t.Errorf("got %s", name)
	}
}

// The address may stand in the place of the whole section.
func TestListenIsAnAddressOrASection(t *testing.T) {
	at := func(addresses ...string) []string { return addresses }
	for text, want := range map[string]config.Listen{
		"listen: :1\n":                              {Address: at(":1"), Express: true},
		"listen: {address: ':1'}\n":                 {Address: at(":1"), Express: true},
		"listen: [':1', 'unix:/s', 'systemd:n']\n":  {Address: at(":1", "unix:/s", "systemd:n"), Express: true},
		"listen: {address: [':1', '[::1]:2']}\n":    {Address: at(":1", "[::1]:2"), Express: true},
		"listen: {express: false}\n":                {Address: at(":8080")},
		"listen:\n  express: true\n  address: :2\n": {Address: at(":2"), Express: true},
		"listen:\n": {Address: at(":8080"), Express: true},
	} {
		want.SocketMode = 0o600
		if got := load(t, text, nil, nil).Listen; !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

func TestNamedSourcesReplaceTheDefault(t *testing.T) {
	got := load(t, "sources:\n  orders:\n  logs: {path: /l, max_body: 2MiB}\n", nil, nil)
	if len(got.Sources) != 2 || got.Sources["orders"].Path != "/orders" ||
		got.Sources["orders"].MaxBody != 1<<20 ||
		got.Sources["logs"].Path != "/l" || got.Sources["logs"].MaxBody != 2<<20 {
		t.Errorf("got %+v", got.Sources)
	}
	if events := got.Destinations["events"]; len(got.Destinations) != 1 ||
		!slices.Equal(events.Sources, []string{"logs", "orders"}) {
		t.Errorf("the default destination does not take them: %+v", got.Destinations)
	}
}

func TestNamedDestinationsReplaceTheDefault(t *testing.T) {
	got := load(t, "destinations:\n  db: {url: 'postgres://user@db.example/x?sslmode=require', sources: [app], batch: {max_events: 5}}\n", nil, nil)
	db := got.Destinations["db"]
	if len(got.Destinations) != 1 || db.Batch.MaxEvents != 5 || db.Batch.MaxBytes != 4<<20 ||
		db.MaxAttempts != 20 {
		t.Errorf("got %+v", got.Destinations)
	}
}

// References are replaced after parsing, so that no value can change the structure of the file.
// An engine whose batches are larger by default gets those, but for what is set by hand.
func TestBatchesByEngine(t *testing.T) {
	got := load(t, "destinations:\n  a: {url: 'parquet:', sources: [app]}\n  b: {url: 'parquet:x', sources: [app], batch: {max_age: 1s}}\n  e: {url: 'parquet+s3://b/x', sources: [app]}\n  c: {url: 'sqlite:', sources: [app]}\n", nil, nil)
	seconds := func(n int) config.Duration { return config.Duration(time.Duration(n) * time.Second) }
	for name, want := range map[string]config.Batch{
		"a": {MaxEvents: 50_000, MaxBytes: 64 << 20, MaxAge: seconds(10)},
		"b": {MaxEvents: 50_000, MaxBytes: 64 << 20, MaxAge: seconds(1)},
		"e": {MaxEvents: 50_000, MaxBytes: 64 << 20, MaxAge: seconds(10)},
		"c": {MaxEvents: 1000, MaxBytes: 4 << 20, MaxAge: config.Duration(10 * time.Millisecond)},
	} {
		if batch := got.Destinations[name].Batch; batch != want {
			t.Errorf("%s: %+v, want %+v", name, batch, want)
		}
	}
}

func TestReferencesAreReplaced(t *testing.T) {
	text := "data: ${DIR}/x$${DIR}$\nlisten: \"${PORT:-:9}\"\nlog: {level: '${NOTHING:-debug}'}\ndestinations: {d: {url: 'sqlite:', sources: ['${SRC}']}}\n"
	got := load(t, text, env{"DIR": "a: {b\n#\"c", "SRC": "app", "PORT": ""}, nil)
	if got.Data != "a: {b\n#\"c/x${DIR}$" || !slices.Equal(got.Listen.Address, []string{":9"}) || got.Log.Level != "debug" ||
		got.Destinations["d"].Sources[0] != "app" {
		t.Errorf("got %+v", got)
	}
}

func TestMistakesInTheFile(t *testing.T) {
	tests := []struct{ text, want string }{
		{"listn: x\n", `p.yaml:1:1: unknown key "listn"; known are listen, tls, trusted_proxies, forwarded_header, admin, data, queue, idempotency, api_keys, quarantine, encryption, sources, destinations, dead_letters, bodies, http, shutdown, log, tracing, metrics, alerts, canary`},
		{"queue:\n  size: 1\n", `p.yaml:2:3: queue: unknown key "size"; known are url, max_bytes, max_age, keep_bytes, min_free, segment_bytes, commit_timeout`},
		{"data: a\ndata: b\n", `p.yaml:2:1: mapping key "data" already defined at [1:1]`},
		{"data: a\n\"data\": b\n", `p.yaml:2:1: mapping key "data" already defined at [1:1]`},
		{"data: \"a\n", `p.yaml:1:7: could not find end character of double-quoted text`},
		{"queue: {url: ${X}}\n", `p.yaml:1:15: ',' or '}' must be specified; a value with a colon at its end, or with ${...} inside braces, needs quotes`},
		{"- a\n", `p.yaml:1:1: want keys with values`},
		{"listen: {express: maybe}\n", `p.yaml:1:19: listen.express: "maybe": want true or false`},
		{"listen: {adress: x}\n", `p.yaml:1:10: listen: unknown key "adress"; known are address, express, proxy_protocol, socket_mode, ready_path`},
		{"listen: [a]\n", `p.yaml:1:10: listen[0]: "a": want host:port or :port, unix:/path, or systemd:NAME`},
		{"queue: 5\n", `p.yaml:1:8: queue: want keys with values`},
		{"destinations: {events: {sources: app}}\n", `p.yaml:1:34: destinations.events.sources: want a list in brackets`},
		{"data: &x a\nlisten: *x\n", "p.yaml:1:7: data: anchors, aliases and tags are not supported\np.yaml:2:9: listen: anchors, aliases and tags are not supported"},
		{"<<: {data: a}\n", `p.yaml:1:1: only plain keys are allowed here`},
		{"data: a\n---\ndata: b\n", `p.yaml:3:5: a second document; the configuration is one`},
		{"data: a\xff\n", `p.yaml: the file is not UTF-8 text`},
		{"queue:\n  max_bytes: 10GX\n", `p.yaml:2:14: queue.max_bytes: "10GX": want a whole number of bytes with an optional unit, such as 1000, 64KiB, 5MB or 10GiB`},
		{"queue: {max_age: 2 weeks}\n", `p.yaml:1:18: queue.max_age: "2 weeks": want a duration such as 10ms, 90s, 1h30m or 14d`},
		{"http: {max_connections: many}\n", `p.yaml:1:25: http.max_connections: "many": want a whole number`},
		{"data: ${MISSING}\n", `p.yaml:1:7: data: the environment variable MISSING is not set; set it, or write ${MISSING:-default}`},
		{"data: ${MIS SING}\n", `p.yaml:1:7: data: ${MIS SING}: want ${NAME} or ${NAME:-default}; write $$ for a dollar`},
		{"data: ${MISSING\n", `p.yaml:1:7: data: ${ without }; write $$ for a dollar`},
		{"sources: {Orders: {path: /o}}\n", `p.yaml:1:11: sources: the name "Orders" is not allowed: want 1 to 63 of a-z, 0-9, _ and -, the first one a letter or digit`},
		{"a: 1\nb: 2\n", "p.yaml:1:1: unknown key \"a\"; known are listen, tls, trusted_proxies, forwarded_header, admin, data, queue, idempotency, api_keys, quarantine, encryption, sources, destinations, dead_letters, bodies, http, shutdown, log, tracing, metrics, alerts, canary\n" +
			"p.yaml:2:1: unknown key \"b\"; known are listen, tls, trusted_proxies, forwarded_header, admin, data, queue, idempotency, api_keys, quarantine, encryption, sources, destinations, dead_letters, bodies, http, shutdown, log, tracing, metrics, alerts, canary"},
	}
	for _, test := range tests {
		if got := refusal(test.text, nil, nil); got != test.want {
			t.Errorf("%q:\n got %s\nwant %s", test.text, got, test.want)
		}
	}
}

func TestCombinationsThatCannotWork(t *testing.T) {
	const d = "destinations: {d: {url: 'sqlite:', sources: [app], "
	tests := []struct{ text, want string }{
		{"listen: 8080", `p.yaml:1:9: listen: "8080": want host:port or :port`},
		{"listen: :99999", `p.yaml:1:9: listen: ":99999": want host:port or :port`},
		{"admin: {listen: 127.0.0.1:80}\nlisten: 127.0.0.1:80", `p.yaml:1:17: admin.listen: is the same address as listen; choose another port`},
		{"admin: {listen: ':8081'}", `p.yaml:1:17: admin.listen: other machines can reach ":8081"; set admin.token (PILLARBOX_ADMIN_TOKEN) or listen on 127.0.0.1, or at a socket (unix:/path)`},
		{"admin: {token: x}", `p.yaml:1:16: admin.token: is too short, with 1 of at least 16 characters: whoever guesses it is an operator`},
		{"admin: {listen: '0.0.0.0:8081', token: fifteen-letters}", `admin.token: is too short, with 15 of at least 16 characters`},
		{"admin: {listen: 'unix:/run/a.sock', token: x}", `admin.token: is too short, with 1 of`},
		{"admin: {token: '[redacted]'}", `admin.token: is what "pillarbox config show" puts in the place of a token`},
		{"admin: {token: 'sixteen letters '}", `admin.token: has a space at an end`},
		{"admin: {token: \"sixteen\\nletters-or-more\"}", `admin.token: has a space at an end, or characters that can't stand in a header`},
		{"admin: {listen: 'unix:'}", `admin.listen: "unix:": want the path of a socket`},
		{"admin: {listen: 'unix:/" + strings.Repeat("x", 200) + "'}", `the path has 201 bytes, and that of a socket may have 103`},
		{"listen: 'unix:'", `listen: "unix:": want the path of a socket`},
		{"listen: 'systemd:'", `listen: "systemd:": want the FileDescriptorName of a socket unit`},
		{"listen: []", `listen: has 0 addresses; want 1 to 64`},
		{"listen: [':1', ':1']", `p.yaml:1:16: listen[1]: ":1" is there twice`},
		{"listen: {proxy_protocol: [':1']}\ntrusted_proxies: [10.0.0.0/8]", `listen.proxy_protocol[0]: ":1" is none of the addresses of listen`},
		{"listen: {proxy_protocol: [':8080']}", `listen.proxy_protocol: lets nobody in without trusted_proxies`},
		{"listen: {socket_mode: 0660}", `listen.socket_mode: has no effect: listen has no unix socket`},
		{"listen: {socket_mode: 9}", `listen.socket_mode: "9": want the permissions of a file in octal`},
		{"listen: {ready_path: ready}", `listen.ready_path: "ready": want a path such as /ready`},
		{"listen: {ready_path: /app/batch}", `listen.ready_path: the source "app" has the same path`},
		{"trusted_proxies: [10.0.0.1/8]", `trusted_proxies[0]: "10.0.0.1/8" has bits behind its first 8`},
		{"trusted_proxies: [unix]", `trusted_proxies[0]: "unix" has no effect: listen has no unix socket`},
		{"trusted_proxies: [10.0.0.0/8, 10.1.0.0/16]", `trusted_proxies[1]: "10.1.0.0/16" has no effect`},
		{"trusted_proxies: [10.0.0.0/8]\nforwarded_header: ''", `trusted_proxies: has no effect: with neither`},
		{"forwarded_header: Forwarded", `forwarded_header: has no effect: trusted_proxies names nobody`},
		{"forwarded_header: X-Real-Ip\ntrusted_proxies: [10.0.0.0/8]", `forwarded_header: "X-Real-Ip": want one of X-Forwarded-For, Forwarded`},
		{"tls: {certificates: [{cert: a}]}", `tls.certificates[0]: want both cert and key`},
		{"tls: {certificates: [{cert: a, key: b}, {cert: a, key: b}]}", `tls.certificates[1]: has no effect: the same files`},
		{"tls: {certificates: [{cert: a, key: b}]}\nlisten: 'unix:/s'", `tls: has no effect: it is for addresses of TCP`},
		{"tls: {acme: {domains: [a.example.org]}}\nlisten: 'unix:/s'", `tls: has no effect: it is for addresses of TCP`},
		{"tls: {acme: {domains: ['*.example.org']}}", `tls.acme.domains[0]: "*.example.org": a wildcard can't be proven`},
		{"tls: {acme: {domains: [Example.org]}}", `tls.acme.domains[0]: "Example.org": want a domain in lower case`},
		{"tls: {acme: {domains: [192.0.2.1]}}", `tls.acme.domains[0]: "192.0.2.1": want a domain`},
		{"tls: {acme: {domains: [localhost]}}", `tls.acme.domains[0]: "localhost": want a domain`},
		{"tls: {acme: {domains: [a.b, a.b]}}", `tls.acme.domains[1]: "a.b" is there twice`},
		{"tls: {acme: {email: a@b}}", `tls.acme.email: has no effect without tls.acme.domains`},
		{"tls: {acme: {domains: [a.b], email: a}}", `tls.acme.email: "a" is no address`},
		{"tls: {acme: {domains: [a.b], directory: 'http://a'}}", `tls.acme.directory: want a URL such as https://`},
		{"tls: {client_ca: a}", `tls.client_ca: has no effect without tls.certificates`},
		{"tls: {client_ca: a, certificates: [{cert: a, key: b}]}", `tls.client_ca: has no effect: no source has auth`},
		{"sources: {app: {auth: [{client_cert: {names: [a]}}]}}", `sources.app.auth: client_cert lets nobody in without tls.client_ca`},
		{"sources: {app: {auth: [{api_key: true, client_cert: {names: [a]}}]}}", `sources.app.auth[0]: is two ways at once`},
		{"sources: {app: {auth: [{client_cert: {names: ['*.a']}}]}}", `client_cert.names[0]: "*.a": want a whole name`},
		{"sources: {app: {auth: [{client_cert: {uris: [a]}}]}}", `client_cert.uris[0]: "a": want a whole URI`},
		{"sources: {app: {auth: [{client_cert: {}}]}}", `sources.app.auth[0]: lets nobody in`},
		{"admin: {listen: 'unix:/a', tls: {certificates: [{cert: a, key: b}]}}", `admin.tls.certificates: have no effect: nobody but this user`},
		{"admin: {listen: '0.0.0.0:8081'}", `admin.listen: other machines can reach "0.0.0.0:8081"; set admin.token`},
		{"admin: {listen: 'example.com:8081'}", `admin.listen: other machines can reach`},
		{"data: ''", `p.yaml:1:7: data: is empty; name a directory`},
		{"queue: {url: ''}", `p.yaml:1:14: queue.url: is missing; write a URL such as "seglog:"`},
		{"queue: {url: kafka}", `queue.url: want a URL that starts with a scheme in lower case`},
		{"queue: {url: 'kafka://h:x/'}", `queue.url: is no valid URL`},
		{"queue: {url: 'nats://token@h'}", `queue.url: holds credentials; remove them from the URL`},
		{"queue: {commit_timeout: 75s}", `queue.commit_timeout: is 1m15s; want less than http.write_timeout, which is 1m15s, so that clients can be told, or 0 to wait for the disk`},
		{"queue: {max_age: 0s}", `queue.max_age: want more than zero`},
		{"queue: {segment_bytes: 1KiB}", `queue.segment_bytes: is 1KiB; want at least 64KiB`},
		{"queue: {max_bytes: 1GiB, keep_bytes: 2GiB}", `queue.keep_bytes: is 2GiB; want at most queue.max_bytes, which is 1GiB, or 0 to keep nothing that was delivered`},
		{"queue: {keep_bytes: -1}", `queue.keep_bytes: "-1": want a whole number of bytes with an optional unit, such as 1000, 64KiB, 5MB or 10GiB`},
		{"queue: {max_bytes: 1MiB}", `queue.max_bytes: is 1MiB; want at least queue.segment_bytes, which is 64MiB`},
		{"dead_letters: {url: 's3://k:s@b'}", `dead_letters.url: holds credentials`},
		{"sources: {app: {path: app}}", `p.yaml:1:23: sources.app.path: "app": want a path such as /app`},
		{"sources: {app: {path: /a/}}", `sources.app.path: "/a/": want a path`},
		{"sources: {app: {path: '/a/{X}'}}", `sources.app.path: "/a/{X}": "X" is no name of an attribute`},
		{"sources: {app: {path: '/a/*/b'}}", `sources.app.path: "/a/*/b": "*": want {NAME} for one segment, or * as the last one`},
		{"sources: {app: {path: '/a/*.json'}}", `"*.json": want {NAME}`},
		{"sources: {app: {path: '/**'}}", `"**": want {NAME}`},
		{"sources: {app: {path: '/{a}/x/{a}'}}", `the segment {a} is there twice`},
		{"sources: {app: {path: '/a{b}'}}", `"a{b}": want {NAME}`},
		{"sources: {app: {path: '/{a}/x'}, b: {path: '/{b}/x'}}", `the source "app" uses the same path`},
		{"sources: {app: {path: '/{tenant}', auth: [{jwt: {issuer: 'https://i/', audience: a, claims: {tenant: t}}}]}}",
			`sources.app.auth[0].jwt.claims.tenant: the path gives an attribute of this name too`},
		{"sources: {app: {path: '/a/:id'}}", `":id" matches nothing here`},
		{"sources: {app: {path: '/a/[0-9]'}}", `"[0-9]" matches nothing here`},
		{"sources: {app: {path: '/a/<id>/b'}}", `"<id>" matches nothing here`},
		{"sources: {app: {path: '/a/(b|c)'}}", `"(b|c)" matches nothing here`},
		{"sources: {app: {path: '/a/...'}}", `"..." matches nothing here`},
		{"sources: {app: {path: '/a/+'}}", `"+" matches nothing here`},
		{"sources: {a: {path: /x}, b: {path: /x}}", `p.yaml:1:36: sources.b.path: the source "a" uses the same path`},
		{"sources: {a: {path: /x}, b: {path: /x/batch}}", `sources.b.path: the source "a" uses the same path, or the one of its batches`},
		{"sources: {b: {path: /x}, a: {path: /x/batch}}", `sources.b.path: the source "a" uses the same path, or the one of its batches`},
		{"sources: {app: {max_body: 17MiB}}", `sources.app.max_body: is 17MiB; want 1 to 16MiB`},
		{"sources: {app: {max_body: 0}}", `sources.app.max_body: is 0; want 1 to 16MiB`},
		{"sources: {app: {max_body: 2MiB}}\nhttp: {max_in_flight_bytes: 1MiB, max_batch_bytes: 1MiB}", `sources.app.max_body: is 2MiB; want at most http.max_in_flight_bytes, which is 1MiB`},
		{"sources: {app: {headers: {allow: ['a b']}}}", `p.yaml:1:35: sources.app.headers.allow[0]: "a b" is no name of a header`},
		{"sources: {app: {headers: {allow: [Cookie]}}}", `p.yaml:1:35: sources.app.headers.allow[0]: "Cookie" carries a bearer secret and is never kept`},
		{"sources: {app: {headers: {allow: [Accept, x_api_key]}}}", `p.yaml:1:43: sources.app.headers.allow[1]: "x_api_key" carries a bearer secret and is never kept`},
		{"sources: {app: {headers: {allow: [host]}}}", `sources.app.headers.allow[0]: "host" is of the connection and is never kept`},
		{"sources: {app: {rate: {per_second: -1}}}", `sources.app.rate: want no negative numbers`},
		{"sources: {app: {rate: {burst: 5}}}", `sources.app.rate: burst needs per_second`},
		{"sources: {app: {rate: [{per_second: 5}, {burst: 5, by: address}]}}", `sources.app.rate[1]: burst needs per_second`},
		{"sources: {app: {rate: {per_second: 1000000000}}}", `sources.app.rate: want at most 100000000`},
		{"sources: {app: {rate: {per_second: 5, by: user}}}", `sources.app.rate.by: "user": want source, key or address`},
		{"sources: {app: {rate: [{per_second: 5}, {per_second: 6, by: source}]}}", `sources.app.rate[1]: there are two rates by source`},
		{"sources: {app: {rate: {per_second: 5, by: key}}}", `sources.app.rate.by: the source asks for no key`},
		{"sources: {app: {rate: {by: address}}}", `sources.app.rate: limits nothing`},
		{"sources: {app: {rate: 5}}", `sources.app.rate: want a list in brackets`},
		{"http: {rate: {burst: 5}}", `http.rate: burst needs per_second`},
		{"http: {rate: {per_second: -5}}", `http.rate: want no negative numbers`},
		{"http: {max_rate_clients: 5}", `http.max_rate_clients: no source has a rate by key or address`},
		{"http: {max_rate_clients: 0}\nsources: {app: {rate: {per_second: 5, by: address}}}", `http.max_rate_clients: is 0`},
		{"destinations: {d: {sources: [app]}}", `p.yaml:1:16: destinations.d.url: is missing; write a URL such as "sqlite:"`},
		{"destinations: {d: {url: 'sqlite:'}}", `p.yaml:1:16: destinations.d.sources: is empty; name the sources that it takes, such as [app]`},
		{"destinations: {d: {url: 'sqlite:', sources: [app, nope]}}", `p.yaml:1:51: destinations.d.sources[1]: there is no source "nope"; there are app`},
		{"destinations: {d: {url: 'sqlite:', sources: [app, app]}}", `destinations.d.sources[1]: the source "app" is there twice`},
		{"sources: {a: , b: }\ndestinations: {d: {url: 'sqlite:', sources: [a]}}", `p.yaml:1:16: sources.b: no destination takes its events; add it to the sources of one`},
		{d + "max_attempts: 0}}", `destinations.d.max_attempts: is 0; want 1 to 100`},
		{d + "backoff: {initial: 0s}}}", `destinations.d.backoff.initial: want more than zero`},
		{d + "probe: {max: 10ms}}}", `destinations.d.probe.max: is 10ms; want at least initial, which is 1s`},
		{d + "batch: {max_events: 0}}}", `destinations.d.batch.max_events: is 0; want 1 to 100000`},
		{d + "batch: {max_bytes: 0}}}", `destinations.d.batch.max_bytes: want more than zero`},
		{d + "write_timeout: 0s}}", `destinations.d.write_timeout: want more than zero`},
		{"http: {max_wait: 2m}", `http.max_wait: is 2m; want less than http.write_timeout, which is 1m15s`},
		{"http: {max_header_bytes: 1}", `http.max_header_bytes: is 1; want at least 1KiB`},
		{"http: {max_batch_bytes: 1GiB}", `http.max_batch_bytes: is 1GiB; want at most http.max_in_flight_bytes`},
		{"shutdown: {drain_timeout: 0s}", `shutdown.drain_timeout: want more than zero`},
		{"log: {level: loud}", `p.yaml:1:14: log.level: "loud": want one of debug, info, warn, error`},
		{"log: {format: xml}", `log.format: "xml": want one of auto, text, json`},
	}
	for _, test := range tests {
		if got := refusal(test.text, nil, nil); !strings.Contains(got, test.want) {
			t.Errorf("%q:\n got %s\nwant %s", test.text, got, test.want)
		}
	}
}

func TestAllowedAfterAll(t *testing.T) {
	for _, text := range []string{
		"admin: {listen: 'localhost:8081'}", "admin: {listen: '[::1]:8081'}", "admin: {listen: ':8081', token: a-token-of-16-ch}",
		"listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}",
		"admin: {listen: 'unix:/run/pillarbox/admin.sock'}", "admin: {listen: 'unix:admin.sock', token: a-token-of-16-ch}",
		"admin: {token: 'sixteen or more, with spaces'}",
		"queue: {url: 'kafka://a:9092,b:9092/topic'}", "queue: {url: 'sqs://'}", "queue: {url: 'nats://h1,h2:4222'}",
		"destinations: {d: {url: 'parquet+s3://bucket/prefix?partition=day', sources: [app]}}",
		"destinations: {d: {url: 'postgres://user@h1:5432,h2/db', sources: [app]}}",
		"destinations: {d: {url: 'parquet:/var/lib/my dir', sources: [app]}}",
		"sources: {root: {path: /}}", "sources: {a: {path: /x}, b: {path: /x/y}}",
		"http: {max_wait: 0s}", "sources: {app: {rate: {per_second: 100, burst: 50}}}",
		"sources: {app: {rate: {per_second: 0, burst: 0}}}", "sources: {app: {rate: []}}",
		"http: {max_rate_clients: 5, rate: {per_second: 9}}\nsources: {app: {rate: [{per_second: 100}, {per_second: 5, burst: 50, by: address}]}}",
		"sources: {app: {max_body: 16MiB, headers: {allow: [X-A, content-type], deny: [x-b]}}}",
	} {
		load(t, text, nil, nil)
	}
}

func TestMistakesOutsideTheFile(t *testing.T) {
	got := refusal("", env{"PILLARBOX_QUEUE_MAX_BYTES": "lots"},
		map[string]string{"listen": "x", "lisen": "y"})
	for _, want := range []string{`PILLARBOX_QUEUE_MAX_BYTES: queue.max_bytes: "lots": want`, `command line: unknown key "lisen"`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	for where, got := range map[string]string{
		"PILLARBOX_ADMIN_TOKEN": refusal("", env{"PILLARBOX_ADMIN_TOKEN": "x"}, nil),
		"command line":          refusal("", nil, map[string]string{"admin.token": "x"}),
	} {
		if !strings.HasPrefix(got, where+": admin.token: is too short, with 1 of at least 16 characters") {
			t.Errorf("got %s", got)
		}
	}
	if got := refusal("", nil, map[string]string{"listen": "x"}); got != `command line: listen: "x": want host:port or :port, unix:/path, or systemd:NAME` {
		t.Errorf("got %s", got)
	}
}

// No error holds what a reference stood for, or a token that stands in the file.
func TestErrorsHoldNoSecrets(t *testing.T) {
	const secret = "hunter2"
	variables := env{"S": secret, "PILLARBOX_ADMIN_TOKEN": secret}
	for _, text := range []string{
		"listen: ${S}", "queue: {max_bytes: '${S}'}", "queue: {max_age: '${S}'}", "log: {level: '${S}'}", "http: {max_connections: '${S}'}",
		"queue: {url: '${S}'}", "queue: {url: 'kafka://u:${S}@h'}", "queue: {url: 'kafka://h:${S}'}", "queue: {url: 'sqlite:x?password=${S}'}",
		"queue: {url: 'kafka:u:${S}@h'}", "queue: {url: 'https://${S}%zz@h'}", "dead_letters: {url: 'nats://${S}@h'}",
		"sources: {app: {path: '${S}'}}", "sources: {app: {headers: {deny: ['${S} x']}}}",
		"destinations: {d: {url: 'sqlite:', sources: ['${S}']}}", "destinations: {d: {url: 'sqlite:', sources: [app, app, '${S}']}}",
		"admin: {token: hunter2}\nlisten: x", "admin: {token: hunter2, x: y}", "admin: {token: hunter2\n", "admin:\n  token: hunter2: x\n",
		"admin: {listen: '${S}:80', token: ''}\nlisten: x", "admin: {token: [hunter2]}", "admin: {token: &hunter2 x}", "admin: hunter2", "hunter2",
	} {
		got := refusal(text, variables, nil)
		if got == "<nil>" || strings.Contains(got, secret) {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestSecretsAreRedacted(t *testing.T) {
	got := load(t, "admin: {token: hunter2-hunter2-hunter2}\n", nil, nil)
	if string(got.Admin.Token) != "hunter2-hunter2-hunter2" {
		t.Error("the token can't be used")
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %s", *got, got, got.Admin, got.Admin.Token),
		config.Show(got)} {
		if strings.Contains(text, "hunter2") || !strings.Contains(text, "[redacted]") {
			t.Errorf("got %s", text)
		}
	}
}

func TestShow(t *testing.T) {
	got := load(t, "data: a$$b\nadmin: {token: a-token-of-16-ch}\nsources: {app: {headers: {deny: [X-A, X-B]}}}\n",
		env{"PILLARBOX_LOG_LEVEL": "warn"}, map[string]string{"listen": ":1"})
	text := config.Show(got)
	for _, want := range []string{
		"listen:\n  address: [\":1\"] # flag\n", "data: \"a$$b\" # file p.yaml:1:7\n", "  token: \"[redacted]\" # file p.yaml:2:16\n",
		"  level: warn # env PILLARBOX_LOG_LEVEL\n", "  max_age: 14d # default\n",
		"sources:\n  app:\n    path: /app # default\n", "      deny: [X-A, X-B] # file p.yaml:3:33\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	again := load(t, strings.ReplaceAll(text, "[redacted]", "another-token-16"), nil, nil)
	if changes := config.Changed(got, again); len(changes) != 1 || changes[0].Key != "admin.token" {
		t.Errorf("read back, it differs in %v", changes)
	}
}

// The example is what the program would do without it, and leaves no key out.
func TestExampleIsTheDefault(t *testing.T) {
	got := load(t, config.Example(), nil, nil)
	if changes := config.Changed(config.Default(), got); len(changes) > 0 {
		t.Errorf("it differs from the defaults in %v", changes)
	}
	checkKeys(t, reflect.TypeFor[config.Config](), "")
	for line := range strings.Lines(config.Example()) {
		if len(line) > 120 {
			t.Errorf("too long: %s", line)
		}
	}
}

// checkKeys looks for every key of a section in the example, at the depth where it belongs.
func checkKeys(t *testing.T, section reflect.Type, indent string) {
	t.Helper()
	for i := range section.NumField() {
		field := section.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		if name == "" {
			continue
		}
		if !regexp.MustCompile(`(?m)^` + indent + name + `:`).MatchString(config.Example()) {
			t.Errorf("%s of %s is not in the example", name, section.Name())
		}
		switch field.Type.Kind() {
		case reflect.Struct:
			checkKeys(t, field.Type, indent+"  ")
		case reflect.Map:
			if field.Type.Elem().Kind() != reflect.Struct {
				continue // of any names
			}
			checkKeys(t, field.Type.Elem(), indent+"    ")
		}
	}
}

// TestHistoryIsNoLargerThanTheQueue: the default follows a queue that is smaller, 0 is a value, and
// the environment sets it as any key.
func TestHistoryIsNoLargerThanTheQueue(t *testing.T) {
	for text, want := range map[string]config.ByteSize{
		"": 256 << 20, "queue: {max_bytes: 100MiB}": 100 << 20, "queue: {keep_bytes: 0}": 0,
		"queue: {keep_bytes: 10GiB}": 10 << 30,
	} {
		cfg := load(t, text, nil, nil)
		if cfg.Queue.KeepBytes != want || cfg.IsSet("queue.keep_bytes") != strings.Contains(text, "keep") {
			t.Errorf("%q keeps %v, want %v", text, cfg.Queue.KeepBytes, want)
		}
	}
	if cfg := load(t, "", env{"PILLARBOX_QUEUE_KEEP_BYTES": "3MiB"}, nil); cfg.Queue.KeepBytes != 3<<20 {
		t.Errorf("the environment says 3MiB, and %v are kept", cfg.Queue.KeepBytes)
	}
}

func TestChanged(t *testing.T) {
	before := load(t, "", nil, nil)
	after := load(t, `
listen: ":9"
queue: {max_bytes: 1GiB, max_age: 1d, keep_bytes: 1MiB, url: "memory:"}
admin: {token: a-new-token-of-16}
sources: {app: {max_body: 2MiB, path: /a, headers: {deny: [x]}}, more: }
destinations: {copy: {url: "sqlite:", sources: [app, more]}}
log: {level: debug, format: json}
`, nil, nil)
	want := []config.Change{
		{"admin.token", false}, {"destinations.copy", true}, {"destinations.events", false},
		{"listen", false},
		{"log.format", false}, {"log.level", true}, {"queue.keep_bytes", true},
		{"queue.max_age", true}, {"queue.max_bytes", true}, {"queue.url", false},
		{"sources.app.headers.deny", true}, {"sources.app.max_body", true}, {"sources.app.path",
			false}, {"sources.more", true},
	}
	if got := config.Changed(before, after); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	tuned := load(t, "destinations: {events: {url: 'sqlite:', sources: [app], max_attempts: 3, backoff: {initial: 2s}, batch: {max_age: 1ms}, probe: {initial: 2s}}}", nil, nil)
	want = []config.Change{{"destinations.events.backoff.initial", true},
		{"destinations.events.batch.max_age", true},
		{"destinations.events.max_attempts", true}, {"destinations.events.probe.initial", true}}
	if got := config.Changed(before, tuned); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
	more := load(t, "sources: {app: , web: }", nil, nil)
	want = []config.Change{{"destinations.events.sources", true}, {"sources.web", true}}
	if got := config.Changed(before, more); !slices.Equal(got, want) {
		t.Errorf("a source more: %v", got)
	}
	want = []config.Change{{"destinations.events.sources", false}, {"sources.web", false}}
	if got := config.Changed(more, before); !slices.Equal(got, want) {
		t.Errorf("a source less: %v", got)
	}
}

func TestFileOnDisk(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "p.yaml")
	if err := os.WriteFile(path, []byte("data: here\nx: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(config.Input{Path: path, Env: env{}.get})
	if err == nil || !strings.HasPrefix(err.Error(), path+":2:1: ") {
		t.Errorf("got %v", err)
	}
	if _, err := config.Load(config.Input{Path: filepath.Join(dir, "none"),
		Env: env{}.get}); !os.IsNotExist(unwrapAll(err)) {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(path, make([]byte, config.MaxFileBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(config.Input{Path: path, Env: env{}.get}); err == nil ||
		!strings.Contains(err.Error(), "is larger than 256KiB") {
		t.Errorf("got %v", err)
	}
	t.Setenv("PILLARBOX_DATA", "from the process")
	if got, err := config.Load(config.Input{}); err != nil || got.Data != "from the process" {
		t.Errorf("got %v, %v", got, err)
	}
}

func unwrapAll(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || os.IsNotExist(err) {
			return err
		}
		err = inner.Unwrap()
	}
}

// Whatever the file holds: no panic, no secret in an error, and what is shown loads to the same
// values.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(config.Example()))
	f.Add([]byte("data: ${S}\nqueue: {url: '${S:-x}'}\n"))
	f.Add([]byte("admin: {token: \"${S}\", listen: ':1'}\nsources:\n  a: {path: /${S}}\n"))
	f.Add([]byte("a: &x [*x]\n? b\n: - c\n"))
	f.Add([]byte(`data: "\a\x7f\u2028\U0001F4EE null $$ # ' \""` + "\nlisten: \"${A:-:1}\"\n"))
	f.Add([]byte("data: |\n  a\n   b\n\nsources: {a: {headers: {allow: [x], deny: ['null', \"1e3\"]}}}\n"))
	const secret = "hunter2-of-the-fuzz-test"
	f.Fuzz(func(t *testing.T, text []byte) {
		if strings.Contains(string(text), secret) {
			return
		}
		lookUp := func(name string) (string, bool) {
			return secret, !strings.HasPrefix(name, "PILLARBOX_") || name == "PILLARBOX_ADMIN_TOKEN"
		}
		got, err := config.Load(config.Input{Path: "p.yaml", Text: text, Env: lookUp})
		if err != nil {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error holds the secret: %v", err)
			}
			return
		}
		shown := strings.ReplaceAll(config.Show(got), "[redacted]", "another-token-16")
		again, err := config.Load(config.Input{Path: "shown.yaml", Text: []byte(shown), Env: env{}.get})
		if err != nil {
			t.Fatalf("%v in\n%s", err, shown)
		}
		if changes := config.Changed(got, again); len(changes) != 1 || changes[0].Key != "admin.token" {
			t.Errorf("read back, it differs in %v:\n%s", changes, shown)
		}
	})
}
