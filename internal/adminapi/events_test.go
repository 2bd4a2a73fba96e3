package adminapi_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/node/nodetest"
)

func idsOf(events []*pillarbox.Event) []string {
	ids := []string{}
	for _, event := range events {
		ids = append(ids, event.RequestID)
	}
	return ids
}

func (b *box) events(query string) adminapi.EventPage {
	b.T.Helper()
	return nodetest.Decode[adminapi.EventPage](b.T, b.get("/api/v1/events"+query).Wants(b.T, 200).Body)
}

// TestEventsAreSelected by each parameter.
func TestEventsAreSelected(t *testing.T) {
	b := openAdmin(t) // at one hour after the first event
	b.Store(6)
	at := func(i int, more string) string {
		return url.QueryEscape(nodetest.FirstTime.Add(0).Format("2006-01-02T15:04:0") + fmt.Sprint(
			i) + more)
	}
	for query, want := range map[string][]string{
		"":                            {"id-000", "id-001", "id-002", "id-003", "id-004", "id-005"},
		"?order=desc&limit=2":         {"id-005", "id-004"},
		"?source=orders":              {"id-001", "id-003", "id-005"},
		"?id=id-002":                  {"id-002"},
		"?id=nowhere":                 {},
		"?destination=events&limit=1": {"id-000"},
		"?since=" + at(4, ".123456Z"): {"id-004", "id-005"},
		// What is finer than a microsecond is later than the event.
		"?since=" + at(4, ".1234561Z"):       {"id-005"},
		"?until=" + at(1, ".123456Z"):        {"id-000"},
		"?until=" + at(1, ".1234569999Z"):    {"id-000", "id-001"},
		"?since=2026-11-23T15:12:04%2B01:00": {"id-004", "id-005"},
		"?since=2026-11-23T15:12:04+01:00":   {"id-004", "id-005"}, // a plus that was not escaped
		"?since=59m56s":                      {"id-004", "id-005"},
		"?since=1h&until=59m58s":             {"id-000", "id-001"},
		"?since=7d": {"id-000", "id-001", "id-002", "id-003", "id-004",
			"id-005"},
		"?since=1d1h&until=1h":        {},
		"?until=1970-01-01T00:00:00Z": {},
		"?since=": {"id-000", "id-001", "id-002", "id-003", "id-004",
			"id-005"},
	} {
		if got := idsOf(b.events(query).Events); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}

// TestEventsAreSelectedByWhatIsKnown of them beside the request, whether they are listed or followed.
func TestEventsAreSelectedByWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openAdmin(t)
		stored := nodetest.Events(4)
		stored[1].Facts = &pillarbox.Facts{Caller: "shop", CEType: "a", CEID: "1", CESource: "/s", CETime: "now", CESubject: "x"}
		stored[2].Facts = &pillarbox.Facts{Caller: "shop", Attributes: pillarbox.Attributes{{Name: "plan", Value: "free"},
			{Name: "tenant", Value: "a b"}}}
		stored[3].Facts = &pillarbox.Facts{CEType: "a", Attributes: pillarbox.Attributes{{Name: "tenant", Value: "acme"}}}
		if err := b.Sink.Write(t.Context(), stored); err != nil {
			t.Fatal(err)
		}
		b.Start()
		for query, want := range map[string][]string{
			"caller=shop": {"id-001", "id-002"}, "caller=sho": {}, "ce_type=a": {"id-001", "id-003"}, "ce_type=a&caller=shop": {"id-001"},
			"ce_id=1&ce_source=/s&ce_time=now&ce_subject=x": {"id-001"}, "attribute.tenant=a+b": {"id-002"},
			"attribute.tenant=acme&ce_type=a": {"id-003"}, "attribute.tenant=acme&attribute.plan=free": {}, "attribute.other=x": {},
			"caller=": {"id-000", "id-001", "id-002", "id-003"},
		} {
			if got := idsOf(b.events("?" + query).Events); !slices.Equal(got, want) {
				t.Errorf("%s: %v, want %v", query, got, want)
			}
			if got := b.follow("&since=2026-11-23T00:00:00Z&" + query).ids(len(want)); !slices.Equal(got, want) {
				t.Errorf("%s: %v is followed, want %v", query, got, want)
			}
		}
		for _, query := range []string{"attribute.=x", "attribute.A=x", "attribute=x", "tenant=acme", "caller=a&caller=b", "caller=%ff"} {
			b.get("/api/v1/events?"+query).Wants(t, 400)
		}
		nobody := b.follow("&caller=nobody")
		b.post("/app", "of somebody")
		if got := nobody.next(); got != ": still here" {
			t.Errorf("message %q for another caller", got)
		}
	})
}

// TestWhatIsNoEventIsNamedBesideTheEvents: on a page, and in a stream as a comment; it ends
// neither.
func TestWhatIsNoEventIsNamedBesideTheEvents(t *testing.T) {
	b := openAdmin(t)
	want := idsOf(b.Store(6))
	named := false
	b.node.Fault = func() error {
		if named {
			return nil
		}
		named = true
		others := &pillarbox.UnreadableError{}
		others.Add("row 1")
		others.Add("row 2")
		return others
	}
	page := b.events("")
	if got := idsOf(page.Events); !slices.Equal(got, want) ||
		!slices.Equal(page.Unreadable, []string{"row 1", "row 2"}) {
		t.Errorf("page %v, %v", got, page.Unreadable)
	}
	if again := b.events("?limit=2"); len(again.Events) != 2 || len(again.Unreadable) != 0 {
		t.Errorf("page %+v", again)
	}
	// What is met behind the page is named on the next one.
	reads := 0
	b.node.Fault = func() error {
		if reads++; reads != 2 {
			return nil
		}
		return &pillarbox.UnreadableError{Items: []string{"row 3"}, Count: 1}
	}
	if page := b.events("?limit=2"); len(page.Unreadable) != 0 || page.NextCursor == "" {
		t.Errorf("page %+v", page)
	}
}

// TestPagesOfEventsAddUp in both directions, with a last page that is full.
func TestPagesOfEventsAddUp(t *testing.T) {
	b := openAdmin(t)
	want := idsOf(b.Store(40))
	for _, order := range []string{"asc", "desc"} {
		for _, limit := range []int{1, 7, 20, 39, 40, 41} {
			var got []string
			cursor, pages := "", 0
			for {
				page := b.events(fmt.Sprintf("?order=%s&limit=%d&cursor=%s", order, limit, cursor))
				got, pages = append(got, idsOf(page.Events)...), pages+1
				if cursor = page.NextCursor; cursor == "" {
					break
				}
			}
			if order == "desc" {
				slices.Reverse(got)
			}
			if !slices.Equal(got, want) || pages != (40+limit-1)/limit {
				t.Errorf("%s by %d: %d events on %d pages", order, limit, len(got), pages)
			}
		}
	}
}

// TestPageOfLargeEventsEndsEarly, so that its size is bounded, and goes on behind its cursor.
func TestPageOfLargeEventsEndsEarly(t *testing.T) {
	b := openAdmin(t)
	events := nodetest.Events(30)
	for _, event := range events {
		event.Body = bytes.Repeat([]byte("x"), 1<<20)
	}
	if err := b.Sink.Write(context.Background(), events); err != nil {
		t.Fatal(err)
	}
	page := b.events("")
	if n := len(page.Events); n == 0 || n > 16 || page.NextCursor == "" {
		t.Fatalf("%d events, cursor %q", n, page.NextCursor)
	}
	if next := b.events("?cursor=" + page.NextCursor); next.Events[0].RequestID != events[len(
		page.Events)].RequestID {
		t.Errorf("the next page begins with %s", next.Events[0].RequestID)
	}
}

// TestCursorIsTimestampAndID, and anything else is refused.
func TestCursorIsTimestampAndID(t *testing.T) {
	b := openAdmin(t)
	events := b.Store(2)
	want := events[0].Timestamp.String() + events[0].RequestID
	page := b.events("?limit=1")
	if text, err := base64.RawURLEncoding.DecodeString(page.NextCursor); err != nil ||
		string(text) != want {
		t.Errorf("cursor %q, %v", text, err)
	}
	for _, text := range []string{"", "x", events[0].Timestamp.String(),
		"2026-13-23T14:12:00.123456Zid", events[0].Timestamp.String() + "\xff", want + strings.Repeat(
			"x", 2000)} {
		if cursor := base64.RawURLEncoding.EncodeToString([]byte(text)); cursor != "" {
			b.get("/api/v1/events?cursor="+cursor).Wants(t, 400, "cursor")
		}
	}
}

// TestStoryIsOneFlatObject with the event first.
func TestStoryIsOneFlatObject(t *testing.T) {
	b := openAdmin(t)
	event := b.Store(1)[0]
	got := b.get("/api/v1/events/"+event.RequestID).Wants(t, 200, `"body":"<body 0>"`, `"state":"stored"`, `"stored_at":"`)
	if !strings.HasPrefix(got.Body, `{"request_id":"id-000","timestamp":"2026-11-23T14:12:00.123456Z",`) {
		t.Errorf("body %s", got.Body)
	}
	letter := b.DeadLetter(2)[1]
	got = b.get("/api/v1/events/"+letter.Event.RequestID).Wants(t, 200, `"state":"dead"`, `"reason":"reason 1"`, `"class":"refused"`)
	story := nodetest.Decode[adminapi.Trace](t, got.Body)
	if story.Event.Key() != letter.Event.Key() || story.State != pillarbox.StateDead ||
		len(story.Deliveries) != 1 || len(story.Deliveries[0].Attempts) != 1 {
		t.Errorf("story %+v", story)
	}
	b.get("/api/v1/events/nowhere").Wants(t, 404, "nowhere")
	b.get("/api/v1/events/%2e%2e%2fx").Wants(t, 404)
}

// TestBooks have the form that others rely on.
func TestBooks(t *testing.T) {
	b := openAdmin(t)
	b.post("/app", "x")
	b.get("/api/v1/ledger").Wants(t, 200, `{"accepted":1,"destinations":[{"destination":"archive",`, `{"destination":"events","accepted":1,"stored":0,"dead":0,"skipped":0,"skipped_by":{},"pending":1,"held":0,"backfill":0,"purged":0,"damaged":0,"balanced":true}]}`)
	b.get("/api/v1/audit").Wants(t, 200, `"balanced":true`, `"problems":[]`)
	b.get("/api/v1/status").Wants(t, 200, `"version":"1.2.3"`, `"ready":true`, `"unconfigured":[]`, `"damage":[]`, `"sources":[{"source":"app","path":"/app"}]`)
}
