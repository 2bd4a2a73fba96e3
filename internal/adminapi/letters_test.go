package adminapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/causes"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/replay"
)

func (b *box) letterPage(query string) adminapi.DeadLetterPage {
	b.T.Helper()
	return nodetest.Decode[adminapi.DeadLetterPage](b.T,
		b.get("/api/v1/dead-letters"+query).Wants(b.T, 200).Body)
}

func lettersOf(page adminapi.DeadLetterPage) []string {
	ids := []string{}
	for _, letter := range page.DeadLetters {
		ids = append(ids, letter.Event.RequestID)
	}
	return ids
}

// TestDeadLettersAreSelected by each parameter.
func TestDeadLettersAreSelected(t *testing.T) {
	b := openAdmin(t)
	b.DeadLetter(4)
	b.call("POST", "/api/v1/dead-letters/id-003/discard", "").Wants(t, 200)
	for query, want := range map[string][]string{
		"":                                   {"id-000", "id-001", "id-002"},
		"?resolved":                          {"id-000", "id-001", "id-002", "id-003"},
		"?resolved=false":                    {"id-000", "id-001", "id-002"},
		"?source=orders":                     {"id-001"},
		"?destination=nowhere":               {},
		"?id=id-001":                         {"id-001"},
		"?error=REASON+2":                    {"id-002"},
		"?error=constraint&limit=2":          {"id-000", "id-001"},
		"?since=2026-11-24T00:00:00Z":        {"id-001", "id-002"},
		"?until=2026-11-24T14:12:01.123456Z": {"id-000"},
	} {
		if got := lettersOf(b.letterPage(query)); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
}

// TestPagesOfDeadLettersAddUp, with many on one day and one event in two destinations.
func TestPagesOfDeadLettersAddUp(t *testing.T) {
	b := openAdmin(t)
	for i, letter := range b.DeadLetter(20) {
		again := *letter
		if again.Destination = "archive"; i%2 == 0 {
			again.DeadAt = letter.Event.Timestamp // all on the first day
		}
		if err := pillarbox.PutDeadLetter(context.Background(), b.Letters, &again); err != nil {
			t.Fatal(err)
		}
	}
	all := b.letterPage("?limit=1000")
	if len(all.DeadLetters) != 40 || all.NextCursor != "" {
		t.Fatalf("%d letters, cursor %q", len(all.DeadLetters), all.NextCursor)
	}
	for _, limit := range []int{1, 3, 20, 39, 40} {
		var got []string
		cursor, pages := "", 0
		for {
			page := b.letterPage(fmt.Sprintf("?limit=%d&cursor=%s", limit, cursor))
			got, pages = append(got, lettersOf(page)...), pages+1
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		if !slices.Equal(got, lettersOf(all)) || pages != (40+limit-1)/limit {
			t.Errorf("by %d: %d letters on %d pages", limit, len(got), pages)
		}
	}
}

// TestUnreadableLettersKeepNobodyFromTheOthers: they are named beside them, once.
func TestUnreadableLettersKeepNobodyFromTheOthers(t *testing.T) {
	b := openAdmin(t)
	b.DeadLetter(2)
	b.admin = adminapi.New(holed{b.node}, adminapi.Options{})
	first := b.letterPage("?limit=1")
	second := b.letterPage("?limit=1&cursor=" + first.NextCursor)
	if len(first.DeadLetters) != 1 || len(second.DeadLetters) != 1 || len(first.Unreadable) != 1 ||
		len(second.Unreadable) != 1 || second.NextCursor != "" {
		t.Errorf("pages %+v and %+v", first, second)
	}
	if !strings.Contains(first.Unreadable[0], "a.json at offset 7") {
		t.Errorf("unreadable %q", first.Unreadable)
	}
}

// holed has a letter that can't be read before each that can.
type holed struct{ adminapi.Node }

func (d holed) DeadLetters(ctx context.Context,
	filter pillarbox.DeadLetterFilter) iter.Seq2[*pillarbox.DeadLetter, error] {
	return func(yield func(*pillarbox.DeadLetter, error) bool) {
		for letter, err := range d.Node.DeadLetters(ctx, filter) {
			if !yield(nil, &pillarbox.CorruptError{File: "a.json", Offset: 7, Reason: "cut off"}) ||
				!yield(letter, err) {
				return
			}
		}
	}
}

// TestDeadLetterIsShownAndDiscarded, and where two destinations have one, the answer is a question.
func TestDeadLetterIsShownAndDiscarded(t *testing.T) {
	b := openAdmin(t)
	letter := b.DeadLetter(1)[0]
	got := b.get("/api/v1/dead-letters/id-000").Wants(t, 200, `"version":1`, `"reason":"reason 0"`)
	if read := nodetest.Decode[pillarbox.DeadLetter](t,
		got.Body); read.Event.Key() != letter.Event.Key() ||
		read.DeadAt != letter.DeadAt {
		t.Errorf("letter %+v", read)
	}
	other := *letter
	other.Destination = "archive"
	if err := pillarbox.PutDeadLetter(context.Background(), b.Letters, &other); err != nil {
		t.Fatal(err)
	}
	b.get("/api/v1/dead-letters/id-000").Wants(t, 409, "archive")
	b.get("/api/v1/dead-letters/id-000?destination=archive").Wants(t, 200, `"destination":"archive"`)
	b.call("POST", "/api/v1/dead-letters/id-000/discard", "").Wants(t, 409)
	b.call("POST", "/api/v1/dead-letters/id-000/discard?destination=archive", "").Wants(t, 200, `"how":"discarded"`)
	b.call("POST", "/api/v1/dead-letters/id-000/discard?destination=archive", "").Wants(t, 409,
		"discarded already")
	b.get("/api/v1/dead-letters/id-000?destination=archive").Wants(t, 200, `"how":"discarded"`)
	b.get("/api/v1/dead-letters/id-000?destination=events").Wants(t, 200)
	b.get("/api/v1/dead-letters/nowhere").Wants(t, 404)
	b.call("POST", "/api/v1/dead-letters/nowhere/discard", "").Wants(t, 404)
	b.get("/api/v1/dead-letters/id-000?destination=nowhere").Wants(t, 404)
}

const replays = "/api/v1/replays"

// TestReplayRuns from a dry run to the end, and its letters are resolved.
func TestReplayRuns(t *testing.T) {
	b := openAdmin(t)
	b.DeadLetter(4)
	dry := b.call("POST", replays, `{"dry_run":true,"since":"2026-11-24T00:00:00Z"}`).Wants(t, 200)
	if progress := nodetest.Decode[replay.Progress](t, dry.Body); progress.Matched != 3 ||
		!progress.DryRun ||
		progress.State != replay.StateDone || len(progress.Sample) != 3 ||
		dry.Header.Get("Location") != "" {
		t.Errorf("dry run %+v", progress)
	}
	got := b.call("POST", replays, `{"destination":"events","source":"app","error":"reason","request_ids":["id-000","id-001","id-002"],"limit":5,"max_failed":-1,"rate":1000.5}`).Wants(t, 202)
	place := got.Header.Get("Location")
	if started := nodetest.Decode[replay.Progress](t, got.Body); place != replays+"/"+started.ID ||
		started.ID == "" {
		t.Errorf("Location %q of %+v", place, started)
	}
	if err := b.Node.Close(); err != nil { // waits, and cancels what still runs
		t.Fatal(err)
	}
	b.get(place).Wants(t, 200)
	b.call("DELETE", place, "").Wants(t, 200) // it has ended: nothing changes
	b.get(replays).Wants(t, 200, `{"replays":[{"id":"1"`)
	b.call("POST", replays, `{}`).Wants(t, 503)
	b.get(replays+"/2").Wants(t, 404)
	b.call("DELETE", replays+"/x", "").Wants(t, 404)
}

// TestReplayThatRunsKeepsOthersOut until it is cancelled.
func TestReplayThatRunsKeepsOthersOut(t *testing.T) {
	b := openAdmin(t)
	b.DeadLetter(3)
	b.call("POST", replays, `{"rate":0.0001}`).Wants(t, 202) // a letter every three hours
	b.call("POST", replays, `{}`).Wants(t, 409, "replay 1 is running")
	b.call("DELETE", replays+"/1", "").Wants(t, 200, `"state":"cancelled"`)
	b.get(replays+"/1").Wants(t, 200, `"state":"cancelled"`)
}

// TestBodyIsRefusedWhereNoneIsRead: {"dry_run":true} would not be what is done.
func TestBodyIsRefusedWhereNoneIsRead(t *testing.T) {
	b := openAdmin(t)
	letter := b.DeadLetter(1)[0]
	for _, c := range []struct{ method, path string }{
		{"POST", "/api/v1/dead-letters/" + letter.Event.RequestID + "/discard"},
		{"POST", adminapi.RedeliverPath}, {"DELETE", replays + "/1"},
	} {
		for _, body := range []string{`{"dry_run":true}`, `dry_run`, strings.Repeat(" ", 100)} {
			b.call(c.method, c.path, body).Wants(t, 400, "takes no body")
		}
	}
	b.get("/api/v1/dead-letters").Wants(t, 200, letter.Event.RequestID) // it is open
	b.call("POST", "/api/v1/dead-letters/"+letter.Event.RequestID+"/discard", " {} ").Wants(t, 200)
}

// TestReplayIsReadStrictly: what is misspelled would replay something else.
func TestReplayIsReadStrictly(t *testing.T) {
	b := openAdmin(t)
	for body, part := range map[string]string{
		`{"dry-run":true}`:                      `\"dry-run\"; known are destination, source`,
		`{"limit":"5"}`:                         `limit`,
		`{"limit":-1}`:                          `limit is -1`,
		`{"rate":-0.5}`:                         `rate is -0.5`,
		`{"rate":1e999}`:                        `rate`,
		`{"since":"soon"}`:                      `since is`,
		`{"since":"1h","until":"2h"}`:           `not before`,
		`{"request_ids":[]}`:                    `request_ids has no items`,
		`{"request_ids":["a",""]}`:              `request_ids[1] is empty`,
		`{"dry_run":true`:                       `body`,
		`{"dry_run":true} {}`:                   `behind`,
		`{"dry_run":true,"dry_run":false}`:      `\"dry_run\" is there twice`,
		`{"dry_run":true,"dry_run":true}`:       `\"dry_run\" is there twice`,
		`{"dry_run":true,"dry_r\u0075n":false}`: `\"dry_run\" is there twice`,
		`{"Dry_Run":true}`:                      `it is written \"dry_run\"`,
		`{"dry_run":true,"DRY_RUN":false}`:      `it is written \"dry_run\"`,
		`{"dry_run":null}`:                      `is null`,
		`{"dry_run":true}]`:                     `body`,
		`{"dry_run":true},`:                     `body`,
		"{\"error\":\"\xff\"}":                  `UTF-8`,
		`null`:                                  `no JSON object`,
		`[]`:                                    `no JSON object`,
		" ":                                     `no JSON object`,
		`{"request_ids":["` + strings.Repeat(`a","`, adminapi.MaxReplayIDs) + `a"]}`: `there may be 10000`,
	} {
		b.call("POST", replays, body).Wants(t, 400, part)
	}
	b.call("POST", replays, "").Wants(t, 415)
	b.call("POST", replays, `{"error":"`+strings.Repeat("x", adminapi.MaxReplayBytes)+`"}`).Wants(t, 413)
	b.call("POST", replays, `{"destination":"nowhere"}`).Wants(t, 404, "nowhere")
	if len(b.Node.Replays()) != 0 {
		t.Error("a replay was started")
	}
}

// TestGroupsAreActedOn: what failed for one reason is one group, which is listed, replayed and discarded.
func TestGroupsAreActedOn(t *testing.T) {
	b := openAdmin(t)
	b.DeadLetter(4)
	got := b.get(adminapi.GroupsPath+"?destination=events").Wants(t, 200)
	groups := nodetest.Decode[causes.Groups](t, got.Body)
	if len(groups.Groups) != 1 || groups.Groups[0].Count != 4 {
		t.Fatalf("%+v", groups)
	}
	cause := url.QueryEscape(groups.Groups[0].Cause)
	b.get("/api/v1/dead-letters?cause="+cause).Wants(t, 200, "id-003")
	if got := b.get("/api/v1/dead-letters?cause=another").Wants(t, 200); strings.Contains(got.Body, "id-003") {
		t.Errorf("another cause: %s", got.Body)
	}
	b.get(adminapi.RetryingPath).Wants(t, 200, `"groups":[]`)
	b.get(adminapi.RetryingPath+"?destination=nowhere").Wants(t, 404)
	body, err := json.Marshal(adminapi.DiscardRequest{Cause: groups.Groups[0].Cause, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	b.call("POST", adminapi.DiscardPath, `{"dry_run":true}`).Wants(t, 400, "nothing says which")
	b.call("POST", adminapi.DiscardPath, string(body)).Wants(t, 200, `"discarded":4`)
	b.call("POST", replays, strings.Replace(string(body), "}", `,"destination":"events"}`, 1)).Wants(t, 200, `"matched":4`)
	b.call("POST", adminapi.DiscardPath, strings.Replace(string(body), `,"dry_run":true`, "", 1)).Wants(t, 200, `"discarded":4`)
	after := b.get(adminapi.GroupsPath).Wants(t, 200)
	for strings.Contains(after.Body, `"counting":true`) { // it rests for nine times as long as the count before took
		time.Sleep(time.Millisecond)
		after = b.get(adminapi.GroupsPath).Wants(t, 200)
	}
	after.Wants(t, 200, `"groups":[]`)
}
