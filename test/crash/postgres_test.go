package crash_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"pillarbox/internal/engine/postgres"
	"pillarbox/internal/torture"
	"pillarbox/test/harness"
	"pillarbox/test/pgserver"
	"pillarbox/test/setting"
)

// postgresStore starts a PostgreSQL of its own, which crashes as well as the server, and recovers.
func postgresStore(t *testing.T) *torture.Store {
	t.Helper()
	var shared pgserver.Shared
	t.Cleanup(shared.Stop)
	server := shared.Server(t)
	url := server.Database(t)
	config := filepath.Join(t.TempDir(), "pillarbox.yaml")
	text := fmt.Sprintf("sources: { app: { path: /app } }\ndestinations:\n  events: { url: %q, sources: [app], probe: { initial: 20ms, max: 200ms } }\n", url)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return &torture.Store{
		Config: config,
		Refuse: func(ctx context.Context, text string) error { return refuseInPostgres(ctx, url, text) },
		Crash: func(ctx context.Context) error {
			server.End(syscall.SIGQUIT) // all of it at once, and nothing is written down
			return server.Run(ctx)
		},
		Open: func(context.Context) (torture.StoreReader, error) { return postgres.Open(url, postgres.Options{}) },
	}
}

func refuseInPostgres(ctx context.Context, url, text string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, fmt.Sprintf(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF position('%s'::bytea IN NEW.body) > 0 THEN RAISE EXCEPTION 'it asks for it'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()`, text))
	return err
}

// TestAckedEventSurvivesKillWithPostgres kills the server, and PostgreSQL, which has the events.
func TestAckedEventSurvivesKillWithPostgres(t *testing.T) {
	o := options(t, harness.Binary(), setting.Number(t, "PILLARBOX_TEST_KILL_CYCLES", defaultCycles)/4+1)
	o.Store = postgresStore(t)
	report, err := torture.Kill(t.Context(), o)
	judge(t, report, err)
}

// TestKillWithPostgresFindsPlantedBugs kills a server that has a bug.
func TestKillWithPostgresFindsPlantedBugs(t *testing.T) {
	if setting.Number(t, "PILLARBOX_TEST_KILL_CYCLES", 0) == 0 {
		t.Skip("takes half a minute: set PILLARBOX_TEST_KILL_CYCLES, or run make kill9")
	}
	binary := harness.SettledBeforeWrite.Binary(t)
	mustFind(t, "are lost", func() (*torture.Report, error) {
		o := options(t, binary, mutantCycles/3)
		o.Store = postgresStore(t)
		return torture.Kill(t.Context(), o)
	})
}

// TestAckedEventSurvivesPowerCutWithPostgres cuts the power of the server alone: what it had sent to
// PostgreSQL is there, and comes again where its settling was cut off.
func TestAckedEventSurvivesPowerCutWithPostgres(t *testing.T) {
	names, cuts := fileSystems(t)
	o := options(t, harness.Binary(), cuts/4+1)
	o.Store = postgresStore(t)
	report, err := torture.PowerCut(t.Context(), torture.PowerCutOptions{Options: o, FS: names[0]})
	judge(t, report, err)
}
