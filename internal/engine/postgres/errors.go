package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"pillarbox"
)

// kindOf is what an error of the server means for the events.
type kindOf int

const (
	outage  kindOf = iota + 1 // of the database; no event is to blame
	full                      // the same, for want of space
	refused                   // an event is to blame, and may be stored another time
	never                     // an event is to blame, and always will be
)

// states are kinds by SQLSTATE, or by its class, which is its first two characters
// (https://www.postgresql.org/docs/current/errcodes-appendix.html). All others are outages: a person
// has to see to them, or they pass.
var states = map[string]kindOf{
	"22":    never,   // data exception: the table has another idea of a column
	"23":    never,   // integrity constraint violation: a CHECK, a UNIQUE, a foreign key
	"44":    never,   // WITH CHECK OPTION violation
	"54":    never,   // program limit exceeded: a row or an index entry too large
	"P0001": never,   // a trigger says RAISE EXCEPTION
	"38":    refused, // an external routine fails
	"39":    refused,
	"P0":    refused, // a trigger fails
	"53100": full,
	"54001": refused, // stack depth: of the server's setting
}

// sorted gives an error its kind.
func sorted(doing string, err error) error {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return fmt.Errorf("%s: %w: %w", doing, err, pillarbox.ErrUnavailable)
	}
	kind := states[server.Code]
	if hasNoPartition(server) {
		kind = outage
	}
	if kind == 0 {
		kind = states[server.Code[:min(2, len(server.Code))]]
	}
	text := fmt.Errorf("%s: %s (SQLSTATE %s)%s", doing, server.Message, server.Code, advice(server))
	switch kind {
	case never:
		return pillarbox.Permanent(text)
	case refused:
		return text
	case full:
		return fmt.Errorf("%w: %w: %w", text, pillarbox.ErrUnavailable, pillarbox.ErrNoSpace)
	}
	return fmt.Errorf("%w: %w", text, pillarbox.ErrUnavailable)
}

// advice says what a person can do about it, where that is not plain.
func advice(err *pgconn.PgError) string {
	hint := ""
	switch {
	case err.Code == "25006":
		hint = "the server is read-only, perhaps a standby: connect to the primary (target_session_attrs=read-write)"
	case err.Code == "42501":
		hint = "grant the user what it needs: CREATE on the schema, and INSERT, SELECT, UPDATE and DELETE on the tables"
	case err.Code == "42P10":
		hint = "the table needs a unique key of (timestamp, request_id)"
	case err.Code == "42P01", err.Code == "42703":
		hint = "a table or column is missing"
	case strings.HasPrefix(err.Code, "28"):
		hint = "check user and password (PGPASSWORD, PGPASSFILE)"
	case strings.HasPrefix(err.Code, "53"):
		hint = "the server has too little of something"
	case err.Hint != "":
		hint = err.Hint
	}
	if hint == "" {
		return ""
	}
	return ": " + hint
}

// isMissing reports whether a table, a partition or a column is not there, or not what it was.
func isMissing(err error) bool {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return false
	}
	switch server.Code {
	case "42P01", "42703", "3F000", "42P10":
		return true
	}
	return hasNoPartition(server)
}

// hasNoPartition reports whether the row is of a day whose partition somebody has dropped. It has the
// code of a CHECK, and names none.
func hasNoPartition(err *pgconn.PgError) bool {
	return err.Code == "23514" && err.ConstraintName == ""
}
