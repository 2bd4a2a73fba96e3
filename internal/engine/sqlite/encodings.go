package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// addColumns gives a table that was made before there were encodings or facts their columns. It
// reads no row for the facts: the columns of the rows that are there read as NULL.
//
// For the encodings it repairs the rows whose query or content type is no valid UTF-8: other
// programs can't read such a text, and some of them then read no row at all. It is one transaction,
// so that a table that has the columns has no such row, and reads the table once in its life.
// Headers were always written as valid JSON, and there is nothing to repair.
func (w *writer) addColumns(ctx context.Context, path string) error {
	missing, err := missingColumns(w.conn)
	if err != nil || len(missing) == 0 {
		return err
	}
	if err := w.conn.Exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	repaired, err := w.alter(missing)
	if err == nil {
		err = w.conn.Exec("COMMIT")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("add the columns %s: %w", strings.Join(missing, ", "), err),
			w.rollback())
	}
	if repaired > 0 {
		w.log.WarnContext(ctx, "texts that are no valid UTF-8 are in base64 now, as query_encoding and content_type_encoding say",
			telemetry.KeyDatabase, path, telemetry.KeyEvents, repaired)
	}
	return nil
}

// addedColumns are those that a table may not have yet.
const addedColumns = encodingColumns + ", " + factColumns

// missingColumns are those of addedColumns that the table does not have.
func missingColumns(conn *sqlite3.Conn) (missing []string, err error) {
	there := map[string]bool{}
	err = query(conn, "SELECT name FROM pragma_table_info('events')", nil,
		func(stmt *sqlite3.Stmt) error {
			there[stmt.ColumnText(0)] = true
			return nil
		})
	for column := range strings.SplitSeq(addedColumns, ", ") {
		if !there[column] {
			missing = append(missing, column)
		}
	}
	return missing, err
}

// columnsOf are the columns of a table that may only be read, and may not have all of them.
func columnsOf(conn *sqlite3.Conn) (have string, missing []string, err error) {
	missing, err = missingColumns(conn)
	if err != nil || len(missing) == 0 {
		return columns, nil, err
	}
	names := strings.Split(columns, ", ")
	for i, column := range names {
		if slices.Contains(missing, column) {
			names[i] = "NULL"
		}
	}
	return strings.Join(names, ", "), missing, nil
}

func (w *writer) alter(columns []string) (repaired int, err error) {
	encodings := false
	for _, column := range columns {
		if err := w.conn.Exec("ALTER TABLE events ADD COLUMN " + column + " TEXT"); err != nil {
			return 0, err
		}
		encodings = encodings || strings.Contains(encodingColumns, column)
	}
	if !encodings {
		return 0, nil
	}
	return w.encodeTexts()
}

// notASCII is a pattern of SQLite's GLOB, which reads no byte over 127 as one of the range.
const notASCII = "*[^\x01-\x7f]*"

// encodeTexts encodes the texts that are no valid UTF-8, and returns in how many rows.
func (w *writer) encodeTexts() (repaired int, err error) {
	update, _, err := w.conn.Prepare(`UPDATE events SET query = ?, query_encoding = ?,
		content_type = ?, content_type_encoding = ? WHERE timestamp = ? AND request_id = ?`)
	if err != nil {
		return 0, err
	}
	defer update.Close()
	err = query(w.conn, `SELECT timestamp, request_id, query, content_type FROM events
		WHERE query GLOB ?1 OR content_type GLOB ?1`, []string{notASCII},
		func(stmt *sqlite3.Stmt) error {
			if utf8.Valid(stmt.ColumnRawText(2)) && utf8.Valid(stmt.ColumnRawText(3)) {
				return nil
			}
			repaired++
			return encodeRow(update, stmt)
		})
	return repaired, err
}

func encodeRow(update, row *sqlite3.Stmt) error {
	timestamp, requestID := row.ColumnText(0), row.ColumnText(1)
	query, queryEncoding := pillarbox.EncodeText(row.ColumnText(2))
	contentType, typeEncoding := pillarbox.EncodeText(row.ColumnText(3))
	for i, text := range []string{query, queryEncoding, contentType, typeEncoding, timestamp,
		requestID} {
		var err error
		if isEncoding := i == 1 || i == 3; isEncoding && text == "" {
			err = update.BindNull(i + 1)
		} else {
			err = update.BindText(i+1, text)
		}
		if err != nil {
			return err
		}
	}
	return errors.Join(update.Exec(), update.Reset())
}
