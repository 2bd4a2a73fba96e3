package main

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"

	_ "github.com/mattn/go-sqlite3" // the fastest driver of those measured
)

var sqliteNeeds = needs{[]string{"gcc|cc|clang"}, "apt-get install gcc, and build with cgo"}

func openSQLite(ctx context.Context, dir string) (*sql.DB, *sql.Stmt, error) {
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(dir,
		"events.db")+"?_journal_mode=WAL&_synchronous=FULL&_busy_timeout=10000")
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1) // one writes at a time anyway
	if _, err := db.ExecContext(ctx, "CREATE TABLE events (id INTEGER PRIMARY KEY, received TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP, body BLOB NOT NULL)"); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	insert, err := db.PrepareContext(ctx, "INSERT INTO events (body) VALUES (?)")
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, insert, nil
}

func runSQLiteEach(ctx context.Context, address, dir string) error {
	db, insert, err := openSQLite(ctx, dir)
	if err != nil {
		return err
	}
	defer db.Close()
	return serve(ctx, address, func(ctx context.Context, body []byte) error {
		_, err := insert.ExecContext(ctx, body)
		return err
	})
}

func runSQLiteGathered(ctx context.Context, address, dir string) error {
	db, insert, err := openSQLite(ctx, dir)
	if err != nil {
		return err
	}
	defer db.Close()
	return serve(ctx, address, gather(ctx, func(bodies [][]byte) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		each := tx.StmtContext(ctx, insert)
		for _, body := range bodies {
			if _, err := each.Exec(body); err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		return tx.Commit()
	}))
}
