package postgres_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/postgres"
	"pillarbox/test/pgserver"
)

var shared pgserver.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

func openStore(t testing.TB, url string, options postgres.Options) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(url, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// ask connects past the store.
func ask(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func execute(t testing.TB, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

func TestSinkKeepsItsContract(t *testing.T) {
	enginetest.Sink(t, func(t *testing.T) pillarbox.Sink {
		return openStore(t, shared.Server(t).Database(t), postgres.Options{})
	})
}

func TestSinkIsDurable(t *testing.T) {
	enginetest.SinkDurable(t, func(t *testing.T) func() pillarbox.Sink {
		url := shared.Server(t).Database(t)
		return func() pillarbox.Sink { return openStore(t, url, postgres.Options{Table: "public.hooks"}) }
	})
}

// TestBodiesAreJSONWhereTheyCanBe: every body that is handed over as jsonb is taken, and no other one
// is refused for it.
func TestBodiesAreJSONWhereTheyCanBe(t *testing.T) {
	db := shared.Server(t).Database(t)
	store := openStore(t, db, postgres.Options{})
	var events []*pillarbox.Event
	n := 0
	for body := range postgres.Bodies {
		event := sample(fmt.Sprint("body ", n), "app")
		event.Body = []byte(body)
		events, n = append(events, event), n+1
	}
	if err := store.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	conn := ask(t, db)
	for _, event := range events {
		var has bool
		if err := conn.QueryRow(t.Context(), "SELECT body_json IS NOT NULL FROM events WHERE request_id = $1", event.RequestID).Scan(&has); err != nil {
			t.Fatal(err)
		}
		if want := postgres.Bodies[string(event.Body)]; has != want {
			t.Errorf("%.60q has body_json: %v, want %v", event.Body, has, want)
		}
		found, err := store.Find(t.Context(), event.RequestID)
		if err != nil || !bytes.Equal(found.Body, event.Body) {
			t.Errorf("%.60q comes back as %.60q, %v", event.Body, found.Body, err)
		}
	}
}
