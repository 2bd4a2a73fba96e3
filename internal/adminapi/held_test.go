package adminapi_test

import (
	"bytes"
	"fmt"
	"testing"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/held"
	"pillarbox/internal/node/nodetest"
)

// openHeld is a box with events of the source "old" that are held for the destination, and one that
// is not.
func openHeld(t *testing.T, n int) (*box, []*pillarbox.Event) {
	t.Helper()
	return openHeldWith(t, n, nil)
}

// openHeldWith is openHeld with a body of its own for each event, unless it is nil.
func openHeldWith(t *testing.T, n int, body []byte) (*box, []*pillarbox.Event) {
	t.Helper()
	b := openBox(t, adminapi.Options{})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(b.Queue.Oblige(t.Context(), destination, pillarbox.Rule{Sources: []string{"app", "old"}}))
	events := enginetest.Events(n+1, 1)
	for _, event := range events {
		event.Source = "old"
		if body != nil {
			event.Body = body
		}
	}
	events[n].Source = "app"
	must(b.Queue.Append(t.Context(), events))
	_, err := b.Queue.Account("archive")
	must(err)
	must(b.Queue.Oblige(t.Context(), destination, pillarbox.Rule{Sources: []string{"app"}}))
	must(b.Queue.Review(t.Context(), destination,
		func(d *pillarbox.Delivery) bool { return d.Event.Source == "old" }))
	return b, events[:n]
}

func TestHeldEventsAreListedInPages(t *testing.T) {
	b, events := openHeld(t, 5)
	groups := nodetest.Decode[adminapi.HeldGroups](t, b.get("/api/v1/held/groups").Wants(t, 200).Body)
	if len(groups.Groups) != 1 || groups.Groups[0].Events != 5 || groups.Groups[0].Source != "old" ||
		groups.Groups[0].First != events[0].Timestamp {
		t.Fatalf("groups %+v", groups)
	}
	seen, cursor := 0, ""
	for {
		page := nodetest.Decode[adminapi.HeldPage](t,
			b.get("/api/v1/held?limit=2&cursor="+cursor).Wants(t, 200).Body)
		for _, item := range page.Held {
			if diff := enginetest.Diff(item.Event, events[seen]); diff != "" ||
				item.Destination != destination {
				t.Errorf("held event %d: %s", seen, diff)
			}
			seen++
		}
		if cursor = page.NextCursor; cursor == "" {
			break
		}
	}
	if seen != 5 {
		t.Errorf("%d are listed", seen)
	}
	b.get("/api/v1/held?destination=nobody").Wants(t, 404, "nobody")
	b.get("/api/v1/held?cursor=x").Wants(t, 400, "cursor")
	pending := nodetest.Decode[adminapi.ObligationList](t,
		b.get("/api/v1/obligations").Wants(t, 200).Body)
	if len(pending.Pending) != 2 || pending.Pending[1].Source != "old" ||
		pending.Pending[1].Events != 5 {
		t.Errorf("pending %+v", pending)
	}
	story := b.get("/api/v1/events/"+events[0].RequestID).Wants(t, 200)
	story.Wants(t, 200, `"state":"held"`, `decides about it`)
}

// TestHeldEventsAreDecidedAbout routes, dead-letters and gives up, after a dry run, and never
// without a filter.
func TestHeldEventsAreDecidedAbout(t *testing.T) {
	b, events := openHeld(t, 6)
	act := func(what, body string, status int, parts ...string) {
		t.Helper()
		b.call("POST", "/api/v1/held/"+what, body).Wants(t, status, parts...)
	}
	act("forget", `{}`, 400, "name what to act on")
	act("forget", `{"all":true,"source":"old"}`, 400, "all goes with no filter")
	act("forget", `{"source":"old","to":"archive"}`, 400, "to names")
	act("route", `{"source":"old"}`, 400, "to names")
	act("route", `{"source":"old","to":"events"}`, 400, "does not take their source")
	act("forget", `{"sauce":"old"}`, 400, "sauce")
	act("forget", `{"source":"old","dry_run":true,"dry_run":false}`, 400, `\"dry_run\" is there twice`)
	act("forget", `{"source":"old","Dry_run":true}`, 400, `it is written \"dry_run\"`)
	act("forget", `{"source":"old","dry_run":true}{}`, 400, "behind")
	act("forget", `{"destination":"nobody"}`, 404, "nobody")
	act("forget", `{"source":"old","dry_run":true}`, 200, `{"matched":6,"done":0,"dry_run":true}`)
	act("forget", fmt.Sprintf(`{"request_ids":[%q]}`, events[0].RequestID), 200, `{"matched":1,"done":1}`)
	act("dead-letter", fmt.Sprintf(`{"request_ids":[%q]}`, events[1].RequestID), 200, `{"matched":1,"done":1}`)
	act("route", `{"source":"old","to":"archive"}`, 200, `{"matched":4,"done":4}`)
	act("route", `{"all":true,"to":"archive"}`, 200, `{"matched":0,"done":0}`)
	b.get("/api/v1/ledger").Wants(t, 200,
		`{"destination":"events","accepted":7,"stored":0,"dead":1,"skipped":5,"skipped_by":{"routed":4,"forgotten":1},"pending":1,"held":0,"backfill":0,"purged":0,"damaged":0,"balanced":true}`,
		`{"destination":"archive","accepted":7,"stored":0,"dead":0,"skipped":0,"skipped_by":{},"pending":7,"held":0,"backfill":0,"purged":0,"damaged":0,"balanced":true}`)
	b.get("/api/v1/dead-letters").Wants(t, 200, events[1].RequestID,
		"no configured destination took it")
}

// TestPagesOfHeldEventsAreBoundedInBytes, and a client goes on over them.
func TestPagesOfHeldEventsAreBoundedInBytes(t *testing.T) {
	b, events := openHeldWith(t, 10, bytes.Repeat([]byte("x"), held.MaxPageBytes/4))
	page := nodetest.Decode[adminapi.HeldPage](t, b.get("/api/v1/held").Wants(t, 200).Body)
	if len(page.Held) != 4 || page.NextCursor == "" {
		t.Errorf("%d are on the first page, cursor %q", len(page.Held), page.NextCursor)
	}
	client, err := adminclient.New("localhost:8081",
		adminclient.Options{HTTP: adminclient.InProcess(b.admin)})
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{3, 9, 10, 1000} {
		seen := 0
		next, err := client.EachHeld(t.Context(), adminclient.HeldQuery{Limit: limit},
			func(item held.Item) error {
				if item.Event.RequestID != events[seen].RequestID {
					t.Errorf("number %d is %s", seen, item.Event.RequestID)
				}
				seen++
				return nil
			})
		if err != nil || seen != min(limit, 10) || (next != "") != (limit < 10) {
			t.Errorf("limit %d: %d are visited, next %q, %v", limit, seen, next, err)
		}
	}
}
