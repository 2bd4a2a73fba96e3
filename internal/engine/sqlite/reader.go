package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/ncruces/go-sqlite3"

	"pillarbox"
)

// maxReaders bounds the connections for reading; further reads wait for one.
const maxReaders = 4

// readerPool keeps connections for reading.
type readerPool struct {
	slots chan struct{} // one token per connection in use

	mu   sync.Mutex
	idle []*reader
}

// reader is one connection, and the file that it has open.
type reader struct {
	conn     *sqlite3.Conn
	database os.FileInfo
}

func newReaderPool() *readerPool {
	return &readerPool{slots: make(chan struct{}, maxReaders)}
}

// take returns a connection to the file that is at the path.
func (p *readerPool) take(ctx context.Context, target target) (*reader, error) {
	p.mu.Lock()
	var found *reader
	if last := len(p.idle) - 1; last >= 0 {
		found, p.idle = p.idle[last], p.idle[:last]
	}
	p.mu.Unlock()
	if found == nil {
		return openReader(ctx, target)
	}
	if sameFile(target.path, found.database) == nil {
		return found, nil
	}
	found.close()
	return openReader(ctx, target)
}

func (p *readerPool) give(r *reader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, r)
}

// expire closes the connections that are not in use.
func (p *readerPool) expire() {
	p.mu.Lock()
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, r := range idle {
		r.close()
	}
}

// drain waits for the connections in use and closes all.
func (p *readerPool) drain() {
	for range maxReaders {
		p.slots <- struct{}{}
	}
	p.expire()
}

// openReader opens a connection that can't write rows. It needs to write to the shared memory, and
// so wants the right to write; where there is none, it makes do without.
func openReader(ctx context.Context, target target) (*reader, error) {
	conn, err := openConn(ctx, target, sqlite3.OPEN_READWRITE)
	if errors.Is(err, sqlite3.CANTOPEN) || errors.Is(err, sqlite3.READONLY) ||
		errors.Is(err, os.ErrPermission) {
		conn, err = openConn(ctx, target, sqlite3.OPEN_READONLY)
	}
	if err != nil {
		return nil, err
	}
	r := &reader{conn: conn}
	if err := conn.Exec("PRAGMA query_only = ON"); err != nil {
		r.close()
		return nil, err
	}
	if r.database, err = os.Stat(target.path); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// close gives up the connection; it has changed nothing that could fail to be saved.
func (r *reader) close() {
	_ = protect(func() error { return closeConn(r.conn) })
}

// read runs a query on a connection of its own.
func (s *Store) read(ctx context.Context, doing string,
	query func(conn *sqlite3.Conn) error) error {
	select {
	case <-s.closed:
		return s.failed(ctx, doing, pillarbox.ErrClosed)
	default:
	}
	select {
	case s.readers.slots <- struct{}{}:
	case <-ctx.Done():
		return s.failed(ctx, doing, ctx.Err())
	case <-s.closed:
		return s.failed(ctx, doing, pillarbox.ErrClosed)
	}
	defer func() { <-s.readers.slots }()
	if err := protect(func() error { return s.readInSlot(ctx, query) }); err != nil {
		return s.failed(ctx, doing, err)
	}
	return nil
}

func (s *Store) readInSlot(ctx context.Context, query func(conn *sqlite3.Conn) error) error {
	if err := s.readable(ctx); err != nil {
		return err
	}
	r, err := s.readers.take(ctx, s.target())
	if err != nil {
		return fmt.Errorf("open for reading: %w", err)
	}
	healthy := false
	defer func() {
		if !healthy { // also after the panic that protect turns into an error
			r.close()
		}
	}()
	r.conn.SetInterrupt(ctx)
	err = query(r.conn)
	r.conn.SetInterrupt(context.Background())
	if err == nil || errors.Is(err, pillarbox.ErrNotFound) {
		healthy = true
		s.readers.give(r)
	}
	return err
}

// readable makes sure that the database at the path may be read: that it is the one the writer has
// open, so that no WAL of another one is in its way. Where it can't be opened for writing, it may
// still be read.
func (s *Store) readable(ctx context.Context) error {
	if current := s.current.Load(); current != nil && current.check(s.path) == nil {
		return nil
	}
	if err := s.lock(ctx); err != nil {
		return err
	}
	defer s.unlock()
	_, err := s.ready(ctx)
	if err != nil && s.writer == nil && isFile(s.path) {
		return nil
	}
	return err
}
