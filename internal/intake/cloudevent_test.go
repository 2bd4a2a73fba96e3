package intake_test

import (
	"fmt"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/intake"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/source"
)

const (
	eventBatch = "application/cloudevents-batch+json; charset=utf-8"
	oneEvent   = `{"specversion":"1.0","id":%q,"source":"/s","type":"t"}`
)

// TestBatchesOfCloudEvents, at the path of batches and at that of single events: each item is an
// event, byte for byte, and one that is none is data, or refused in its place where it must be one.
func TestBatchesOfCloudEvents(t *testing.T) { onAllFronts(t, eventBatches) }

func eventBatches(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 0, 0)
	first, second := fmt.Sprintf(oneEvent, "1"), fmt.Sprintf(oneEvent, "2")
	known := func(id string) *pillarbox.Facts { return &pillarbox.Facts{CEID: id, CESource: "/s", CEType: "t"} }
	app := source.Settings{Name: "app", Path: "/app"}
	required, none := app, app
	required.CloudEvents, none.CloudEvents = source.CloudEventsRequired, source.CloudEventsNone
	for _, c := range []struct {
		name     string
		settings source.Settings
		form     string
		body     string
		status   int
		codes    []int // 0 for accepted
		facts    []*pillarbox.Facts
	}{
		{"two", app, eventBatch, " [" + first + " ,\n" + second + "]", 202, []int{0, 0}, []*pillarbox.Facts{known("1"), known("2")}},
		{"one is data", app, eventBatch, "[" + first + `,{"id":"2"}]`, 202, []int{0, 0}, []*pillarbox.Facts{known("1"), nil}},
		{"one is no JSON", app, eventBatch, "[" + first + `,nope]`, 207, []int{0, 400}, []*pillarbox.Facts{known("1")}},
		{"none at all", app, eventBatch, "[]", 202, []int{}, nil},
		{"one is none where it must be", required, eventBatch, "[" + first + `,{"id":"2"}]`, 207, []int{0, 400}, []*pillarbox.Facts{known("1")}},
		{"all are none where they must be", required, eventBatch, `[1,{"specversion":"1.0"}]`, 422, []int{400, 400}, nil},
		{"lines, where they must be events", required, ndjson, first + "\n{}\n", 207, []int{0, 400}, []*pillarbox.Facts{known("1")}},
		{"lines of JSON", app, ndjson, first + "\n", 202, []int{0}, []*pillarbox.Facts{nil}},
		{"no array", app, eventBatch, first, 400, nil, nil},
	} {
		for _, path := range []string{"/app/batch", "/app"} {
			if path == "/app" && c.form != eventBatch {
				continue
			}
			use(t, b, c.settings)
			before := len(b.Queued())
			door := nodetest.Door{Name: c.name, Target: path, Body: c.body, Header: []string{"Content-Type", c.form, "ce-id", "of the batch"}}
			got := send(t, server, &door, 1)
			if got.Status != c.status {
				t.Errorf("%s at %s: answered with %d %s, want %d", c.name, path, got.Status, got.Body, c.status)
				continue
			}
			if c.codes != nil {
				form := array
				if c.form == ndjson {
					form = ndjson
				}
				for i, result := range results(t, form, got.Body) {
					if result.Code != c.codes[i] {
						t.Errorf("%s at %s: item %d has %+v", c.name, path, i, result)
					}
				}
			}
			events := b.Queued()[before:]
			if len(events) != len(c.facts) {
				t.Errorf("%s at %s: %d events are stored, want %d", c.name, path, len(events), len(c.facts))
				continue
			}
			for i, event := range events {
				if !event.Facts.Equal(c.facts[i]) || !strings.Contains(c.body, string(event.Body)) {
					t.Errorf("%s at %s: event %d is %s, of which %+v is known", c.name, path, i, event.Body, event.Facts)
				}
				if want := map[bool]string{true: "application/cloudevents+json", false: "application/json"}[c.form == eventBatch]; event.ContentType != want {
					t.Errorf("%s: its type is %q", c.name, event.ContentType)
				}
			}
		}
	}
	use(t, b, none)
	door := nodetest.Door{Name: "one body", Body: "[1]", Header: []string{"Content-Type", eventBatch}}
	if got := send(t, server, &door, 1); got.Status != 202 || !strings.HasPrefix(got.Body, "{") {
		t.Errorf("where they are data, a batch is answered with %d %s", got.Status, got.Body)
	}
	door.Target = "/app/batch"
	if got := send(t, server, &door, 1); got.Status != 415 {
		t.Errorf("where they are data, a batch at the path of batches is answered with %d %s", got.Status, got.Body)
	}
}

// TestAnEventIsKnownInEveryMode: what comes in binary mode comes again structured and in a batch.
func TestAnEventIsKnownInEveryMode(t *testing.T) {
	b := openPublic(t, intake.Options{})
	b.setSources(source.Settings{Name: "app", Path: "/app", Key: "cloudevents", KeyAlone: true})
	binary := b.post("/app", "x", "ce-specversion", "1.0", "ce-id", "%41", "ce-source", `"/s"`, "ce-type", "t").Wants(t, 202)
	structured := b.post("/app", fmt.Sprintf(oneEvent, "A"), "Content-Type", "application/cloudevents+json").Wants(t, 202)
	batch := b.post("/app", "["+fmt.Sprintf(oneEvent, "A")+"]", "Content-Type", eventBatch).Wants(t, 202)
	if binary.Body != structured.Body || len(b.Queued()) != 1 {
		t.Errorf("binary %s, structured %s, %d events", binary.Body, structured.Body, len(b.Queued()))
	}
	if !strings.Contains(batch.Body, strings.TrimSpace(binary.Body)) || batch.Header.Get(pillarbox.HeaderReplayed) != "true" {
		t.Errorf("batch %s, binary %s", batch.Body, binary.Body)
	}
}
