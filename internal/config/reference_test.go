package config_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pillarbox/internal/config"
)

var update = flag.Bool("update", false, "rewrite the reference in docs/OPERATIONS.md")

const (
	operationsFile = "../../docs/OPERATIONS.md"
	referenceBegin = "<!-- configuration: begin, written by go test ./internal/config -run Reference -update -->\n"
	referenceEnd   = "<!-- configuration: end -->\n"
)

// entry is one key of the example.
type entry struct {
	key, value, comment string
}

// inGroup says what keys mean that share a comment with others in the example, or have none.
var inGroup = map[string]string{
	"sources.NAME.redact.headers":            "Headers whose values are kept as `REDACTED`. (reload)",
	"sources.NAME.redact.query":              "Parameters of the query whose values are. (reload)",
	"sources.NAME.redact.json":               "Places in JSON bodies whose values are, as pointers such as `/card/number` or `/items/*/email`. A body that is no JSON is refused with 400. (reload)",
	"sources.NAME.hash.key":                  "The key of HMAC-SHA-256 for the digests below, of at least 16 characters. (reload)",
	"sources.NAME.hash.headers":              "Headers of whose values a digest is kept. (reload)",
	"sources.NAME.hash.query":                "Parameters of the query of whose values it is. (reload)",
	"sources.NAME.hash.json":                 "Places in JSON bodies of whose values it is. (reload)",
	"destinations.NAME.shape.drop.headers":   "Headers that this destination gets events without. (reload)",
	"destinations.NAME.shape.drop.query":     "Parameters of the query that it gets them without. (reload)",
	"destinations.NAME.shape.drop.json":      "Members and items of JSON bodies that it gets them without, as pointers such as `/user/password` or `/items/*/note`. A body that is no JSON becomes a dead letter. (reload)",
	"destinations.NAME.shape.redact.headers": "Headers whose values it gets as `REDACTED`. (reload)",
	"destinations.NAME.shape.redact.query":   "Parameters of the query whose values it gets so. (reload)",
	"destinations.NAME.shape.redact.json":    "Places in JSON bodies whose values it gets so. A body that is no JSON becomes a dead letter. (reload)",
	"destinations.NAME.shape.rename.headers": "New names of headers, as in `{ X-Old: X-New }`. Where the new name is there, nothing is renamed. (reload)",
	"destinations.NAME.shape.rename.query":   "New names of parameters. (reload)",
	"destinations.NAME.shape.rename.json":    "New names of members of JSON bodies, by pointer, as in `{ /userId: user_id }`. (reload)",
	"destinations.NAME.oauth2.token_url":     "Of a webhook: where a token is got by client credentials; empty for none.",
	"destinations.NAME.oauth2.client_id":     "With which name.",
	"destinations.NAME.oauth2.client_secret": "With which secret: `${NAME}` or `file:PATH`. Never shown.",
	"destinations.NAME.oauth2.scopes":        "For what.",
	"destinations.NAME.proxy":                "Of a webhook: a proxy on the way, `http://HOST:PORT`, `https://HOST:PORT` or `socks5://HOST:PORT`; or `{ url, user, password }`. The environment (`HTTPS_PROXY`) is not asked.",
	"destinations.NAME.proxy.user":           "Who asks the proxy.",
	"destinations.NAME.proxy.password":       "With which password: `${NAME}` or `file:PATH`. Never shown.",
	"destinations.NAME.tls.ca":               "Of a webhook or a broker: a file with the authorities that its certificate may be of; empty for those of the system.",
	"destinations.NAME.tls.cert":             "A file with the certificate that the receiver is shown, taken anew when it changes; empty for none.",
	"destinations.NAME.tls.key":              "A file with its key.",
	"destinations.NAME.tls.enabled":          "Of a broker: whether it is talked to in TLS where nothing else of `tls` is set. A webhook says so by `https:`.",
	"destinations.NAME.auth.user":            "Of a broker: who we are to it.",
	"destinations.NAME.auth.password":        "With which password: `${NAME}` or `file:PATH`. Never shown.",
	"destinations.NAME.auth.mechanism":       "Of Kafka: the mechanism of SASL, `scram-sha-512` (also where empty), `scram-sha-256` or `plain`.",
	"destinations.NAME.auth.token":           "Of NATS: a token in place of both. Never shown.",
	"destinations.NAME.auth.nkey":            "Of NATS: a seed (`SU…`) in place of both. Never shown.",
	"destinations.NAME.auth.creds":           "Of NATS: a file with a JWT and a seed in place of both, read with each connection.",
	"destinations.NAME.send":                 "Of a webhook, as are all that follow but `headers` and `tls`, down to `format`. What a request holds: `event` (one, as JSON; also where empty), `ndjson` or `array` (a batch), or `body` (that of one event as it came, with its content type).",
	"http.rate.per_second":                   "The most events per second of all sources together; 0 for no limit. More is answered with 503. (reload)",
	"http.rate.burst":                        "The most of them at once; 0 is `per_second`. (reload)",
	"destinations.NAME.backoff.initial":      "The wait after the first attempt of an event; it doubles with each further one. (reload)",
	"destinations.NAME.backoff.max":          "The longest wait between two attempts. (reload)",
	"destinations.NAME.batch.max_events":     "Events of one write. (reload)",
	"destinations.NAME.batch.max_bytes":      "Bytes of one write. (reload)",
	"destinations.NAME.batch.max_age":        "How long the first event of a batch waits for more. (reload)",
	"destinations.NAME.probe.initial":        "The wait before the first look at a destination that is down; it doubles. (reload)",
	"destinations.NAME.probe.max":            "The longest wait between two looks. (reload)",
	"sources.NAME.headers.allow":             "Only these request headers are kept; empty for all. Bearer secrets never are. (reload)",
	"sources.NAME.headers.deny":              "None of these request headers are kept. (reload)",
	"http.read_header_timeout":               "How long the head of a request may take.",
	"http.read_timeout":                      "How long a whole request may take.",
	"http.write_timeout":                     "How long a request may take from the end of its head to the end of its answer.",
	"http.idle_timeout":                      "How long a connection may wait for its next request.",
	"http.max_header_bytes":                  "The head of a request; more is answered with 431.",
	"admin.tokens":                           "Others, for some of what `admin.token` is for: `[{ name: grafana, token: \"${GRAFANA_TOKEN}\", scope: read }]`. `scope` is `read`, `replay` (that, and dead letters again) or `admin` (everything). The trail (`audit --trail`) has their names.",
	"admin.max_followers":                    "Streams of events (`events?follow`) at a time; more are answered with 503.",
	"http.max_connections_per_address":       "Connections of one address to the public listener; more are closed. 0 is no limit: behind a load balancer all have one address.",
	"http.min_body_rate":                     "Bytes a second that a body brings at least, on the average of each `http.body_grace`; a slower one is answered with 408. 0 asks for none.",
	"http.body_grace":                        "The time over which `http.min_body_rate` is looked at.",
	"http.max_connections":                   "Connections to the public listener. It is lowered where the limit of open files is too low for it; with all taken, the one that rests the longest makes room.",
	"http.max_batch_bytes":                   "The bytes of one batch request.",
	"http.max_batch_items":                   "The events of one batch request.",
	"alerts.repeat.high":                     "Between two messages about what goes on, of a high severity.",
	"alerts.repeat.low":                      "The same, of a low one.",
	"alerts.quiet_hours.from":                "When nobody is told what is of a low severity, by the clock on the wall, as in `22:00`; empty for never. What still holds at the end is told then.",
	"alerts.quiet_hours.to":                  "Until when, as in `07:00`.",
	"alerts.quiet_hours.time_zone":           "Of that clock, as in `Europe/Berlin`; UTC where empty.",
	"alerts.quiet_hours.days":                "Days that are quiet from midnight to midnight, as in `[sat, sun]`.",
	"alerts.heartbeat.every":                 "How often.",
	"alerts.heartbeat.allow_private":         "Whether it may be at an address that is not public.",
	"metrics.otlp.endpoint":                  "Where metrics are pushed to by OpenTelemetry's protocol, as in `tracing.otlp.endpoint`; empty for nowhere. The names of metrics are the same there.",
	"metrics.otlp.protocol":                  "`http` or `grpc`.",
	"metrics.otlp.headers":                   "Headers of each push. Never shown.",
	"metrics.otlp.tls.ca":                    "As in `tracing.otlp.tls`.",
	"metrics.otlp.tls.cert":                  "The same.",
	"metrics.otlp.tls.key":                   "The same.",
	"tracing.otlp.tls.ca":                    "A file with the authorities that the receiver's certificate may be of; empty for those of the system.",
	"tracing.otlp.tls.cert":                  "A file with the certificate that the receiver is shown; empty for none.",
	"tracing.otlp.tls.key":                   "A file with its key.",
}

// TestConfigurationReference holds the table in docs/OPERATIONS.md to the keys, their defaults and
// the example.
func TestConfigurationReference(t *testing.T) {
	entries := exampleEntries(t)
	checkComplete(t, entries)
	var table strings.Builder
	table.WriteString("| key | default | environment variable | meaning |\n|---|---|---|---|\n")
	for _, e := range entries {
		env := ""
		if slices.Contains(config.Keys(), e.key) {
			env = "`" + config.EnvName(e.key) + "`"
		}
		fmt.Fprintf(&table, "| `%s` | `%s` | %s | %s |\n", e.key, e.value, env, e.comment)
	}
	content, err := os.ReadFile(operationsFile)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(content), referenceBegin)
	old, tail, ended := strings.Cut(rest, referenceEnd)
	if !found || !ended {
		t.Fatalf("%s has no place for the reference between %q and %q", operationsFile, referenceBegin,
			referenceEnd)
	}
	if old == table.String() {
		return
	}
	if !*update {
		t.Fatalf("the reference in %s is stale; run go test ./internal/config -run Reference -update",
			operationsFile)
	}
	if err := os.WriteFile(operationsFile,
		[]byte(head+referenceBegin+table.String()+referenceEnd+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

// exampleEntries reads keys, values and comments of the example, in its order.
func exampleEntries(t *testing.T) []entry {
	t.Helper()
	var entries []entry
	var path, comment []string
	for line := range strings.Lines(config.Example()) {
		text := strings.TrimSpace(line)
		switch {
		case text == "":
			comment = nil
			continue
		case strings.HasPrefix(text, "#"):
			comment = append(comment, strings.TrimSpace(strings.TrimPrefix(text, "#")))
			continue
		}
		name, value, _ := strings.Cut(text, ":")
		depth := (len(line) - len(strings.TrimLeft(line, " "))) / 2
		if depth == 1 && (path[0] == "sources" || path[0] == "destinations") {
			name = "NAME"
		}
		path = append(path[:depth], name)
		if value = strings.Trim(strings.TrimSpace(value), `"`); value != "" || strings.HasSuffix(text, `""`) {
			key := strings.Join(path, ".")
			said := strings.Join(comment, " ")
			if better, ok := inGroup[key]; ok {
				said = better
			}
			if key == "listen.address" {
				key = "listen" // may stand in the place of its section
			}
			if key == "destinations.NAME.proxy.url" {
				key = "destinations.NAME.proxy" // the same
				said = inGroup[key]
			}
			if key == "sources.NAME.path" {
				value = "/NAME"
			}
			entries = append(entries, entry{key: key, value: value, comment: said})
		}
		comment = nil
	}
	return entries
}

// The number of keys of one source and of one destination.
const (
	sourceKeys      = 43
	destinationKeys = 50
)

// sectionKeys is the number of other keys that no variable can set: lists of sections, and headers.
const sectionKeys = 6

// checkComplete sees that every key is there and says something, and that nothing here is about
// keys of old.
func checkComplete(t *testing.T, entries []entry) {
	t.Helper()
	var keys []string
	for _, e := range entries {
		keys = append(keys, e.key)
		if e.comment == "" {
			t.Errorf("%s has no comment in the example, and none in this test", e.key)
		}
	}
	for _, key := range config.Keys() {
		if !slices.Contains(keys, key) {
			t.Errorf("%s is not in the example", key)
		}
	}
	for key := range inGroup {
		if !slices.Contains(keys, key) {
			t.Errorf("this test explains %s, which is no key", key)
		}
	}
	if want := len(config.Keys()) + sectionKeys + sourceKeys + destinationKeys; len(entries) != want {
		t.Errorf("%d keys in the example, want %d", len(entries), want)
	}
}
