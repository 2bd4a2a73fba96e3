package intake_test

import (
	"net/http"
	"testing"
	"time"

	"pillarbox/internal/intake"
	"pillarbox/internal/node/nodetest"
	"pillarbox/internal/source"
)

// TestBatchesAreAskedWhoComes with every credential of the table, as single events are.
func TestBatchesAreAskedWhoComes(t *testing.T) { onAllFronts(t, askedBatches) }

func askedBatches(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 0, 0)
	for _, door := range nodetest.AuthDoors(t) {
		if door.Method != "" {
			continue
		}
		use(t, b, door.Source)
		before := len(b.Queued())
		door.Target, door.Body = "/app/batch", `["one", 2]`
		door.Header = append(door.Header, "Content-Type", "application/json")
		got := send(t, server, &door, 1)
		if got.Status != door.Status {
			t.Errorf("%s: a batch is answered with %d %s, want %d", door.Name, got.Status, got.Body, door.Status)
		}
		if stored := len(b.Queued()) - before; stored != map[bool]int{true: 2}[door.Stored] {
			t.Errorf("%s: %d events of a batch are stored", door.Name, stored)
		}
	}
}

func use(t *testing.T, b *box, settings ...source.Settings) *source.Table {
	t.Helper()
	table, err := source.Compile(settings, source.Options{Now: func() time.Time { return nodetest.DoorTime }})
	if err != nil {
		t.Fatal(err)
	}
	b.sources.Replace(table)
	return table
}

// TestNoRouteIsWithoutARule: whatever path and method leads to where events are stored, who comes
// without a credential is refused there, and who comes with one is not.
func TestNoRouteIsWithoutARule(t *testing.T) { onAllFronts(t, everyRoute) }

func everyRoute(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 0, 0)
	keys := nodetest.NewDoorKeys(t)
	stored := []string{"DELETE", "GET", "PATCH", "POST", "PUT"}
	issuer := nodetest.NewDoorIssuer()
	tokens := issuer.Tokens(issuer.Issuers(t))
	table := use(t, b, source.Settings{Name: "app", Path: "/app", Methods: stored, Keys: keys.Ring},
		source.Settings{Name: "tokens", Path: "/t", Methods: stored, Tokens: []source.Tokens{tokens}},
		source.Settings{Name: "root", Path: "/", Methods: stored, Keys: keys.Ring},
		source.Settings{Name: "users", Path: "/u", Methods: stored, Users: []source.User{{Name: "a", Password: "b"}}})
	asked := 0
	for _, route := range table.Routes() {
		methods := stored
		if route.Batch {
			methods = []string{"POST"}
		}
		for _, method := range methods {
			door := nodetest.Door{Name: method + " " + route.Path, Method: method, Target: route.Path, Body: "[1]",
				Header: []string{"Content-Type", "application/json"}}
			if got := send(t, server, &door, 1); got.Status != http.StatusUnauthorized {
				t.Errorf("%s: answered with %d %s to somebody without a credential", door.Name, got.Status, got.Body)
			}
			asked++
			door.Header = append(door.Header, "X-Api-Key", keys.Good)
			switch {
			case len(route.Source.Tokens) > 0:
				door.Header = append(door.Header, "Authorization", "Bearer "+issuer.Token("ec", nil, issuer.Claims(nil)))
			case route.Source.Keys == nil:
				door.Header = append(door.Header, "Authorization", "Basic YTpi")
			}
			if got := send(t, server, &door, 1); got.Status != http.StatusAccepted {
				t.Errorf("%s: answered with %d %s", door.Name, got.Status, got.Body)
			}
		}
	}
	if asked != 24 || len(b.Queued()) != asked {
		t.Errorf("%d routes were asked, and %d events are stored", asked, len(b.Queued()))
	}
}

// TestCallersHaveIdempotencyKeysOfTheirOwn: the same key of somebody else is another event, and the
// name of a key, which two of them may have while one replaces the other, is what counts.
func TestCallersHaveIdempotencyKeysOfTheirOwn(t *testing.T) { onAllFronts(t, ownKeys) }

func ownKeys(t *testing.T, f front) {
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 0, 0)
	keys := nodetest.NewDoorKeys(t)
	use(t, b, source.Settings{Name: "app", Path: "/app", Keys: keys.Ring,
		Users: []source.User{{Name: "shop", Password: "one"}, {Name: "a", Password: "b"}}})
	for i, c := range []struct {
		credential []string
		stored     int
	}{
		{[]string{"X-Api-Key", keys.Good}, 1}, {[]string{"Authorization", "Bearer " + keys.Good}, 1},
		{[]string{"X-Api-Key", keys.Named}, 2}, {[]string{"X-Api-Key", keys.Named}, 2},
		{[]string{"Authorization", "Basic YTpi"}, 3}, {[]string{"X-Api-Key", keys.Good}, 3},
	} {
		door := nodetest.Door{Name: "a key", Header: append(c.credential, "Idempotency-Key", "1"), Body: "x"}
		if got := send(t, server, &door, 1); got.Status != http.StatusAccepted || len(b.Queued()) != c.stored {
			t.Errorf("request %d: answered with %d %s, and %d events are stored, want %d", i, got.Status, got.Body,
				len(b.Queued()), c.stored)
		}
	}
}
