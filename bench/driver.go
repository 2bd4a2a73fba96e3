package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
	_ "github.com/ncruces/go-sqlite3/driver" // with it comes the library itself
)

// rowsOfTransaction is the batch of a delivery.
const rowsOfTransaction = 1000

// cell is a value with its type: a body is text where it can be, and else a blob.
type cell struct {
	of    sqlite3.Datatype
	bytes []byte
}

// insertAgain reads all rows of a database, and inserts them into a new one: the driver alone, with
// the same table, settings, order and rows, in transactions of 1,000. It tells how many there were,
// and how long the inserts took.
func insertAgain(from, to string) (rows int, took time.Duration, err error) {
	table, cells, columns, err := readAll(from)
	if err != nil {
		return 0, 0, fmt.Errorf("read %s: %w", from, err)
	}
	conn, err := sqlite3.Open(to)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := conn.Exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; " + table); err != nil {
		return 0, 0, err
	}
	insert, _, err := conn.Prepare("INSERT INTO events VALUES (?" + strings.Repeat(", ?",
		columns-1) + ")")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, insert.Close()) }()
	begin := time.Now()
	for at := 0; at < len(cells); at += rowsOfTransaction * columns {
		if err := insertRows(conn, insert, cells[at:min(at+rowsOfTransaction*columns, len(cells))],
			columns); err != nil {
			return 0, 0, fmt.Errorf("insert: %w", err)
		}
	}
	return len(cells) / columns, time.Since(begin), nil
}

// readAll reads the table events with its definition.
func readAll(name string) (table string, cells []cell, columns int, err error) {
	conn, err := sqlite3.Open(name)
	if err != nil {
		return "", nil, 0, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	definition, _, err := conn.Prepare("SELECT sql FROM sqlite_schema WHERE name = 'events'")
	if err != nil {
		return "", nil, 0, err
	}
	defer func() { err = errors.Join(err, definition.Close()) }()
	if !definition.Step() {
		return "", nil, 0, errors.Join(definition.Err(), errors.New("there is no table events"))
	}
	table = definition.ColumnText(0)
	rows, _, err := conn.Prepare("SELECT * FROM events ORDER BY timestamp, request_id")
	if err != nil {
		return "", nil, 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns = rows.ColumnCount()
	for rows.Step() {
		for i := range columns {
			cells = append(cells, cell{rows.ColumnType(i), rows.ColumnBlob(i, nil)})
		}
	}
	return table, cells, columns, rows.Err()
}

// insertRows is one transaction.
func insertRows(conn *sqlite3.Conn, insert *sqlite3.Stmt, cells []cell, columns int) error {
	if err := conn.Exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for at := 0; at < len(cells); at += columns {
		for i, value := range cells[at : at+columns] {
			if err := bind(insert, i+1, value); err != nil {
				return err
			}
		}
		if err := insert.Exec(); err != nil {
			return err
		}
	}
	return conn.Exec("COMMIT")
}

func bind(insert *sqlite3.Stmt, at int, value cell) error {
	switch value.of {
	case sqlite3.NULL:
		return insert.BindNull(at)
	case sqlite3.BLOB:
		return insert.BindBlob(at, value.bytes)
	}
	return insert.BindRawText(at, value.bytes) // the table has no numbers
}
