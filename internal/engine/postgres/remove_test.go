package postgres_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/postgres"
)

// TestRemoveShowsTheRightToDelete also where nothing is there to be removed: who asks before it
// writes knows that it can take back what it writes.
func TestRemoveShowsTheRightToDelete(t *testing.T) {
	owner := shared.Server(t).Database(t)
	events := enginetest.Events(1, 84)
	if err := openStore(t, owner, postgres.Options{}).Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	admin := ask(t, owner)
	execute(
		t,
		admin,
		"DROP ROLE IF EXISTS writer",
		"CREATE ROLE writer LOGIN",
		"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO writer",
		"GRANT CREATE ON SCHEMA public TO writer",
	)
	t.Cleanup(func() { execute(t, admin, "DROP OWNED BY writer", "DROP ROLE writer") })
	as, err := url.Parse(owner)
	if err != nil {
		t.Fatal(err)
	}
	as.User = url.User("writer")
	store := openStore(t, as.String(), postgres.Options{})
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatalf("the role may write: %v", err)
	}
	err = store.Remove(t.Context(), []pillarbox.Key{{Timestamp: 1, RequestID: "nobody"}})
	if err == nil || !strings.Contains(err.Error(), "permission denied") ||
		!strings.Contains(err.Error(), "DELETE") {
		t.Errorf("remove without the right: %v", err)
	}
	if _, err := store.Find(t.Context(), events[0].RequestID); errors.Is(
		err,
		pillarbox.ErrNotFound,
	) {
		t.Error("it is removed all the same")
	}
}
