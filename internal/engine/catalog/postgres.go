package catalog

import (
	"context"
	"net/url"

	"pillarbox"
	"pillarbox/internal/engine/postgres"
)

// postgresURL is a connection string, and the table that it does not know.
type postgresURL struct{ connection, table string }

// parsePostgres reads "//user@host/database?table=NAME", with the parameters of libpq.
func parsePostgres(key, rest string) (postgresURL, error) {
	parsed, err := url.Parse("postgres:" + rest)
	if err != nil || parsed.Host == "" && !parsed.Query().Has("host") || parsed.Path == "" || parsed.Path == "/" {
		return postgresURL{}, pillarbox.Invalid("%s: want postgres://USER@HOST/DATABASE?table=NAME", key)
	}
	query := parsed.Query()
	at := postgresURL{table: query.Get("table")}
	if at.table == "" {
		at.table = postgres.DefaultTable
	}
	query.Del("table")
	parsed.RawQuery = query.Encode()
	at.connection = parsed.String()
	// It makes no connection, and says what is wrong.
	store, err := postgres.Open(at.connection, postgres.Options{Table: at.table})
	if err != nil {
		return at, pillarbox.Invalid("%s: %w", key, err)
	}
	return at, store.Close()
}

func openPostgres(_ context.Context, place Place, name, rest string) (pillarbox.Sink, error) {
	at, err := parsePostgres(sinkKey(name), rest)
	if err != nil {
		return nil, err
	}
	return opened[pillarbox.Sink](postgres.Open(at.connection, postgres.Options{Table: at.table, Logger: place.Logger}))
}
