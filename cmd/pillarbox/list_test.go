package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/engine/enginetest"
)

// large are events of which a page of the API has room for a few.
func large(n int) []*pillarbox.Event {
	events := enginetest.Events(n, 1)
	for i, event := range events {
		event.Body = bytes.Repeat([]byte{'a' + byte(i)}, 600_000)
		event.Source = "app"
	}
	return events
}

// idsIn are the request ids of a list, in its order, in any form.
func idsIn(t *testing.T, form, out string) (ids []string) {
	t.Helper()
	switch form {
	case "json":
		var list struct {
			Events []*pillarbox.Event      `json:"events"`
			Dead   []*pillarbox.DeadLetter `json:"dead_letters"`
		}
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatal(err)
		}
		for _, event := range list.Events {
			ids = append(ids, event.RequestID)
		}
		for _, letter := range list.Dead {
			ids = append(ids, letter.Event.RequestID)
		}
	case "csv":
		records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil || len(records) == 0 {
			t.Fatal(len(records), err)
		}
		for _, record := range records[1:] {
			ids = append(ids, record[1])
		}
	default:
		for _, line := range strings.Split(strings.TrimSpace(out), "\n")[1:] {
			ids = append(ids, strings.Fields(line)[1])
		}
	}
	return ids
}

// TestAListGoesOnOverThePages of the API, which large bodies end early, until the limit is reached
// or there is no more: online and offline, in any form. Where it is cut, it says so.
func TestAListGoesOnOverThePages(t *testing.T) {
	s := startServer(t, "")
	const n = 18 // a page ends after 16 of these events, or 14 of these letters
	events := large(n)
	if err := s.engines.Sinks["events"].Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	s.putDeadLetters(events, "events")
	var ids []string
	for _, event := range events {
		ids = append(ids, event.RequestID)
	}
	check := func(where ...string) {
		t.Helper()
		for _, list := range []string{"events --oldest", "dead list"} {
			for _, c := range []struct {
				form  string
				limit int
			}{{"table", n - 1}, {"table", n}, {"json", n - 1}, {"csv", maxList}} {
				args := slices.Concat(strings.Fields(list),
					[]string{"-o", c.form, "--limit", strconv.Itoa(c.limit)}, where)
				got := try(t, args...)
				if got.err != nil {
					t.Fatal(got.err)
				}
				if seen := idsIn(t, c.form, got.out); !slices.Equal(seen, ids[:min(c.limit, n)]) {
					t.Errorf("%v: %d are listed", args, len(seen))
				}
				told := strings.Contains(got.talk, "there are more than these 17") ||
					c.form == "json" && !strings.Contains(got.out, `"next_cursor": ""`)
				if told != (c.limit < n) {
					t.Errorf("%v: said %q", args, got.talk)
				}
			}
		}
	}
	check("--server", s.admin)
	s.stop()
	check("--data", s.data, "--admin", nobody(t))
}

// TestAListGoesOnFromItsCursor, and the JSON of it is that of the API.
func TestAListGoesOnFromItsCursor(t *testing.T) {
	s := startServer(t, "")
	events := enginetest.Events(7, 1)
	if err := s.engines.Sinks["events"].Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	var seen []string
	for cursor, more := "", true; more; more = cursor != "" {
		got := try(t, "events", "--oldest", "-o", "json", "--limit", "3", "--cursor", cursor, "--server",
			s.admin)
		var page adminapi.EventPage
		if err := json.Unmarshal([]byte(got.out), &page); err != nil || got.err != nil {
			t.Fatal(err, got.err)
		}
		for _, event := range page.Events {
			seen = append(seen, event.RequestID)
		}
		cursor = page.NextCursor
		var plain bytes.Buffer
		encoder := json.NewEncoder(&plain)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(page); err != nil || plain.String() != got.out {
			t.Errorf("the list is\n%s\nand the page is\n%s", got.out, plain.String())
		}
	}
	if len(seen) != 7 {
		t.Errorf("seen %v", seen)
	}
	for _, args := range [][]string{{"events"}, {"dead", "list"}, {"held", "list", "--events"}} {
		for _, limit := range []int{0, -1, maxList + 1} {
			try(t, append(args, "--limit", strconv.Itoa(limit))...).failsWith(t, exitUsage,
				"want 1 to 100000",
				"--cursor")
		}
	}
}

// TestAnEmptyListIsOne, in any form.
func TestAnEmptyListIsOne(t *testing.T) {
	s := startServer(t, "")
	for args, want := range map[string]string{
		"events -o json":             "{\n  \"events\": [],\n  \"next_cursor\": \"\",\n  \"unreadable\": []\n}\n",
		"dead list -o json":          "{\n  \"dead_letters\": [],\n  \"next_cursor\": \"\",\n  \"unreadable\": []\n}\n",
		"held list --events -o json": "{\n  \"held\": [],\n  \"next_cursor\": \"\"\n}\n",
		"held list --events -o csv":  "timestamp,request_id,destination,source,attempts,bytes\n",
		"dead list":                  "DEAD_AT  REQUEST_ID  DESTINATION  SOURCE  ATTEMPTS  STATE  REASON\n",
	} {
		got := try(t, append(strings.Fields(args), "--server", s.admin)...)
		if got.err != nil || got.out != want || got.talk != "" {
			t.Errorf("%s: %q and %q, %v", args, got.out, got.talk, got.err)
		}
	}
}

// TestADryRunInCSVIsCSV, and says on standard error how many there are.
func TestADryRunInCSVIsCSV(t *testing.T) {
	s := startServer(t, "")
	s.putDeadLetters(enginetest.Events(12, 1), "events")
	got := try(t, "dead", "replay", "--all", "--dry-run", "-o", "csv", "--server", s.admin)
	if n := len(idsIn(t, "csv", got.out)); got.err != nil || n != 5 ||
		got.talk != "12 dead letters would be replayed; these are the first 5\n" {
		t.Errorf("%d rows, %q, %v", n, got.talk, got.err)
	}
	got = try(t, "dead", "replay", "--all", "-o", "csv", "--server", s.admin)
	if want := "state,matched,replayed,failed,unreadable,reason\ndone,12,12,0,0,\n"; got.out != want {
		t.Errorf("%q, %v", got.out, got.err)
	}
}
