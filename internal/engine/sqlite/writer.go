package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
)

// The tables. The body has no type, so that SQLite keeps text as text and bytes as bytes.
const schema = `
CREATE TABLE IF NOT EXISTS events (
	timestamp TEXT NOT NULL,
	request_id TEXT NOT NULL,
	source TEXT,
	method TEXT,
	path TEXT,
	query TEXT,
	content_type TEXT,
	headers TEXT,
	remote_addr TEXT,
	traceparent TEXT,
	body,
	stored_at TEXT,
	query_encoding TEXT,
	content_type_encoding TEXT,
	header_encoding TEXT,
	caller TEXT,
	ce_id TEXT,
	ce_source TEXT,
	ce_type TEXT,
	ce_time TEXT,
	ce_subject TEXT,
	removed TEXT,
	attributes TEXT,
	PRIMARY KEY (timestamp, request_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event_ids (
	request_id TEXT NOT NULL,
	timestamp TEXT NOT NULL,
	PRIMARY KEY (request_id, timestamp)
) WITHOUT ROWID;`

// maxWALBytes is what the WAL file is cut back to after a checkpoint.
const maxWALBytes = 64 << 20

// writer is the one connection that writes, with its statements.
type writer struct {
	conn  *sqlite3.Conn
	files *files
	log   *slog.Logger

	identity pillarbox.StoreIdentity // as of the last transaction
	purges   []pillarbox.Purge       // the same

	insertChunk, insertOne         insertStmt // of events without facts
	insertFactChunk, insertFactOne insertStmt
	exists, insertID, mark         *sqlite3.Stmt
}

func (w *writer) inserts() []*insertStmt {
	return []*insertStmt{&w.insertChunk, &w.insertOne, &w.insertFactChunk, &w.insertFactOne}
}

// openWriter opens or creates the database. known is the database whose tables this process has
// seen before, or nil. strict asks that the whole WAL is copied into the database.
func openWriter(ctx context.Context, target target, known *files,
	strict bool) (_ *writer, err error) {
	path := target.path
	if err := create(path); err != nil {
		return nil, fmt.Errorf("create the file: %w", err)
	}
	conn, err := openConn(ctx, target, sqlite3.OPEN_READWRITE)
	if err != nil {
		return nil, err
	}
	w := &writer{conn: conn, log: target.log}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	conn.SetInterrupt(ctx)
	defer conn.SetInterrupt(context.Background())
	if err := w.configure(); err != nil {
		return nil, err
	}
	if err := w.settleWAL(path, strict); err != nil {
		return nil, err
	}
	if err := w.makeTables(ctx, path, known); err != nil {
		return nil, err
	}
	if w.identity, err = w.identify(); err != nil {
		return nil, err
	}
	if w.purges, err = readPurges(conn); err != nil {
		return nil, err
	}
	if err := w.prepare(); err != nil {
		return nil, err
	}
	// Now both files are there. Their names must be durable before the first row is.
	if err := syncPath(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("sync the directory: %w", err)
	}
	w.files, err = statFiles(path)
	return w, err
}

// target is what a connection is opened to, and how.
type target struct {
	path, vfs string
	busy      time.Duration
	log       *slog.Logger
}

func (s *Store) target() target {
	return target{path: s.path, vfs: s.options.vfs, busy: s.options.BusyTimeout, log: s.options.Logger}
}

// openConn opens a connection.
func openConn(ctx context.Context, target target, flags sqlite3.OpenFlag) (*sqlite3.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	closeShm(target.path)
	// modeof gives the WAL the mode of the database, which may be stricter than the umask.
	// SQLite takes a plus sign for what it is.
	query := url.Values{"modeof": {target.path}}
	if target.vfs != "" {
		query.Set("vfs", target.vfs)
	}
	uri := url.URL{Scheme: "file", Path: target.path,
		RawQuery: strings.ReplaceAll(query.Encode(), "+", "%20")}
	conn, err := sqlite3.OpenFlags(uri.String(), flags|sqlite3.OPEN_URI)
	if err != nil {
		return nil, err
	}
	if err := conn.BusyTimeout(target.busy); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (w *writer) configure() error {
	encoding, err := w.text("PRAGMA encoding")
	if err != nil {
		return err
	}
	if encoding != "UTF-8" {
		return fmt.Errorf("its encoding is %s, not UTF-8: %w", encoding, errUnusable)
	}
	mode, err := w.text("PRAGMA journal_mode = WAL")
	if err != nil {
		return fmt.Errorf("switch to WAL mode: %w", err)
	}
	if mode != "wal" {
		return fmt.Errorf("its journal mode stays %s instead of wal: %w", mode, errUnusable)
	}
	settings := fmt.Sprintf(`PRAGMA synchronous = FULL;
		PRAGMA fullfsync = ON;
		PRAGMA checkpoint_fullfsync = ON;
		PRAGMA journal_size_limit = %d`, maxWALBytes)
	return w.conn.Exec(settings)
}

// text returns the first column of the first row.
func (w *writer) text(sql string) (string, error) {
	stmt, _, err := w.conn.Prepare(sql)
	if err != nil {
		return "", err
	}
	defer stmt.Close()
	stmt.Step()
	return stmt.ColumnText(0), stmt.Err()
}

// settleWAL makes durable what an earlier life may have written without syncing it. Copying it all
// into the database is best: the bytes reach other blocks, which helps where a sync of the WAL
// itself has failed. A reader of another program can hold that up; then syncing is enough, unless
// strict.
func (w *writer) settleWAL(path string, strict bool) error {
	// An empty read makes SQLite recover the WAL, so that the checkpoint sees all of it.
	if err := w.conn.Exec("SELECT 1 FROM sqlite_schema LIMIT 1"); err != nil {
		return err
	}
	if err := syncPath(path + walSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("sync the WAL: %w", err)
	}
	err := w.checkpoint()
	if errors.Is(err, sqlite3.BUSY) && !strict {
		return nil
	}
	return err
}

// checkpoint copies the whole WAL into the database file, and waits for readers that hold it up as
// long as the busy timeout says.
func (w *writer) checkpoint() error {
	_, _, err := w.conn.WALCheckpoint("main", sqlite3.CHECKPOINT_FULL)
	if err != nil {
		return fmt.Errorf("copy the WAL into the database: %w", err)
	}
	return nil
}

// makeTables makes the tables that are missing. In the known database it does not: if they are
// gone, somebody is at work there. A database with nothing in it is a new one, though, even under
// the inode number of the known one, which is free to be used again once that is closed.
func (w *writer) makeTables(ctx context.Context, path string, known *files) error {
	if known != nil && sameFile(path, known.database) == nil {
		if tables, err := w.text("SELECT count(*) FROM sqlite_schema"); err != nil || tables != "0" {
			return err
		}
	}
	if err := w.conn.Exec(schema); err != nil {
		return fmt.Errorf("create tables: %w", err)
	}
	if err := w.addColumns(ctx, path); err != nil {
		return err
	}
	return w.addIndex(ctx, path)
}

func (w *writer) prepare() error {
	for _, statement := range []struct {
		stmt **sqlite3.Stmt
		sql  string
	}{
		{&w.insertChunk.stmt, insertSQL(chunkRows, plainCount)},
		{&w.insertOne.stmt, insertSQL(1, plainCount)},
		{&w.insertFactChunk.stmt, insertSQL(chunkRows, columnCount)},
		{&w.insertFactOne.stmt, insertSQL(1, columnCount)},
		{&w.exists, existsSQL},
		{&w.mark, "UPDATE pillarbox_store SET mark = mark + ? RETURNING id, mark"},
		{&w.insertID, "INSERT INTO event_ids (request_id, timestamp) VALUES (?, ?) ON CONFLICT DO NOTHING"},
	} {
		stmt, _, err := w.conn.PrepareFlags(statement.sql, sqlite3.PREPARE_PERSISTENT)
		if err != nil {
			return fmt.Errorf("prepare: %w", err)
		}
		*statement.stmt = stmt
	}
	for i, insert := range w.inserts() {
		insert.columns = plainCount
		if i >= 2 {
			insert.columns = columnCount
		}
		insert.bound = make([]boundText, insert.stmt.BindCount())
	}
	return nil
}

func (w *writer) close() error {
	return protect(func() error { return closeConn(w.conn) })
}

// closeConn ends the statements first, because SQLite does not close a connection that has some.
func closeConn(conn *sqlite3.Conn) error {
	conn.SetInterrupt(context.Background())
	for _, stmt := range slices.Collect(conn.Stmts()) {
		_ = stmt.Close() // repeats the error of the last step
	}
	return conn.Close()
}

// isFile reports whether there is something at the path.
func isFile(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
