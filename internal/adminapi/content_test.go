package adminapi_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/node/nodetest"
)

// TestEventsAreSelectedByWhatWasSent: by each parameter, the same from a list, a stream of what is
// stored, and by the client.
func TestEventsAreSelectedByWhatWasSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openAdmin(t)
		stored := nodetest.Events(4)
		stored[1].Method, stored[1].ContentType, stored[1].Body = "PUT", "application/json; charset=utf-8", []byte(`{"a/b":[{"n":1.0}],"s":"x=y"}`)
		stored[2].Path, stored[2].Header = "/other", pillarbox.Header{{Name: "X-Tag", Value: "a b"}, {Name: "X-Tag", Value: "c"}}
		stored[3].Body = []byte("100% of _ it")
		if err := b.Sink.Write(t.Context(), stored); err != nil {
			t.Fatal(err)
		}
		b.Start()
		client, err := adminclient.New("http://localhost", adminclient.Options{HTTP: adminclient.InProcess(b.admin)})
		if err != nil {
			t.Fatal(err)
		}
		for query, test := range map[string]struct {
			content pillarbox.ContentFilter
			want    []string
		}{
			"content_type=APPLICATION/json": {pillarbox.ContentFilter{ContentType: "APPLICATION/json"}, []string{"id-001"}},
			"method=PUT":                    {pillarbox.ContentFilter{Method: "PUT"}, []string{"id-001"}},
			"path=/other":                   {pillarbox.ContentFilter{Path: "/other"}, []string{"id-002"}},
			"header.x-tag=a+b&header.x-tag=c": {pillarbox.ContentFilter{Headers: []pillarbox.HeaderField{{Name: "x-tag", Value: "a b"},
				{Name: "x-tag", Value: "c"}}}, []string{"id-002"}},
			"json./a~1b/0/n=1.0": {pillarbox.ContentFilter{JSON: []pillarbox.PointerValue{{Pointer: "/a~1b/0/n", Value: "1.0"}}}, []string{"id-001"}},
			"json./a~1b/*/n=1":   {pillarbox.ContentFilter{JSON: []pillarbox.PointerValue{{Pointer: "/a~1b/*/n", Value: "1"}}}, []string{}},
			"json./s=x%3Dy":      {pillarbox.ContentFilter{JSON: []pillarbox.PointerValue{{Pointer: "/s", Value: "x=y"}}}, []string{"id-001"}},
			"text=100%25+of+_":   {pillarbox.ContentFilter{Text: "100% of _"}, []string{"id-003"}},
			"text=":              {pillarbox.ContentFilter{}, []string{"id-000", "id-001", "id-002", "id-003"}},
		} {
			if got := idsOf(b.events("?" + query).Events); !slices.Equal(got, test.want) {
				t.Errorf("%s: %v, want %v", query, got, test.want)
			}
			if got := b.follow("&since=2026-11-23T00:00:00Z&" + query).ids(len(test.want)); !slices.Equal(got, test.want) {
				t.Errorf("%s: %v is followed, want %v", query, got, test.want)
			}
			page, err := client.Events(t.Context(), adminapi.EventQuery{Content: test.content})
			if err != nil || !slices.Equal(idsOf(page.Events), test.want) {
				t.Errorf("%s: the client gets %v, %v; want %v", query, page, err, test.want)
			}
		}
		for _, query := range []string{"header.=x", "json.a=x", "json./a~2=x", "json=x", "header=x", "path=/a&path=/b", "text=%ff", "text=" +
			strings.Repeat("x", 5000)} {
			b.get("/api/v1/events?"+query).Wants(t, 400)
		}
		live := b.follow("&text=wanted")
		b.post("/app", "something else")
		b.post("/app", "what is wanted")
		if got, _ := live.event(); string(got.Body) != "what is wanted" {
			t.Errorf("%s is told", got.Body)
		}
	})
}

// TestAFilterThatWouldScanNeedsATimeRange: a page looks at no more than it may, has what it found, and
// goes on; where it found nothing, it says what to add. A stream goes on by itself.
func TestAFilterThatWouldScanNeedsATimeRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openBox(t, adminapi.Options{MaxScan: 20})
		stored := nodetest.Events(100)
		for i, event := range stored {
			event.Body = []byte("plain")
			if i == 3 || i == 7 || i == 90 {
				event.Body = []byte("rare")
			}
		}
		if err := b.Sink.Write(t.Context(), stored); err != nil {
			t.Fatal(err)
		}
		b.Start()
		page := b.events("?text=rare&limit=10")
		if got := idsOf(page.Events); !slices.Equal(got, []string{"id-003", "id-007"}) || page.NextCursor == "" {
			t.Fatalf("the first page is %v, and goes on at %q", got, page.NextCursor)
		}
		last := stored[19].Timestamp.String()
		refused := b.get("/api/v1/events?text=rare&limit=10&cursor="+page.NextCursor).Wants(t, 400, "needs a time range")
		if !strings.Contains(refused.Body, stored[39].Timestamp.String()) {
			t.Errorf("it does not say up to when it has looked, which is 20 behind %s: %s", last, refused.Body)
		}
		since := "&since=" + stored[85].Timestamp.String()
		if got := idsOf(b.events("?text=rare" + since).Events); !slices.Equal(got, []string{"id-090"}) {
			t.Errorf("within a time range there are %v", got)
		}
		if got := b.events("?limit=100").Events; len(got) != 100 {
			t.Errorf("a page without a filter has %d events", len(got))
		}
		if got := b.follow("&since=2026-11-23T00:00:00Z&text=rare").ids(3); !slices.Equal(got, []string{"id-003", "id-007", "id-090"}) {
			t.Errorf("%v are followed", got)
		}
	})
}
