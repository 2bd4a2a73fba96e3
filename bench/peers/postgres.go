package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

var postgresNeeds = needs{[]string{
	"initdb|/usr/lib/postgresql/*/bin/initdb", "postgres|/usr/lib/postgresql/*/bin/postgres",
}, "apt-get install postgresql-15"}

// postgresConnections is a usual pool for two cores: more only wait for each other.
const postgresConnections = 32

const postgresTable = `CREATE TABLE events (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, received timestamptz NOT NULL DEFAULT now(), body bytea NOT NULL)`

// withPostgres makes a cluster, starts it, and calls use with a pool. Its settings are the
// defaults.
func withPostgres(ctx context.Context, dir string, use func(pool *pgxpool.Pool) error) error {
	as, err := unprivileged("postgres", "nobody")
	if err != nil {
		return err
	}
	// The path of a socket has to be short.
	sockets, err := os.MkdirTemp("", "pillarbox-pg-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(sockets)
	data := filepath.Join(dir, "cluster")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	for _, owned := range []string{sockets, data} {
		if err := as.own(owned); err != nil {
			return err
		}
	}
	if err := prepare(as, data, locate(postgresNeeds.programs[0]), "-D", data, "-A", "trust", "-U",
		"postgres", "--no-sync").Run(); err != nil {
		return fmt.Errorf("initdb: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return err
	}
	server, err := start(prepare(as, data, locate(postgresNeeds.programs[1]), "-D", data, "-k",
		sockets, "-p", strconv.Itoa(port), "-c", "listen_addresses="))
	if err != nil {
		return err
	}
	defer server.stop(syscall.SIGINT) // the fast way to stop
	pool, err := pgxpool.New(ctx, fmt.Sprintf(
		"host=%s port=%d user=postgres dbname=postgres pool_max_conns=%d", sockets, port, postgresConnections))
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := server.waitFor(ctx, func() error { return pool.Ping(ctx) }); err != nil {
		return err
	}
	if _, err := pool.Exec(ctx, postgresTable); err != nil {
		return err
	}
	return use(pool)
}

func runPostgresInsert(ctx context.Context, address, dir string) error {
	return withPostgres(ctx, dir, func(pool *pgxpool.Pool) error {
		return serve(ctx, address, func(ctx context.Context, body []byte) error {
			_, err := pool.Exec(ctx, "INSERT INTO events (body) VALUES ($1)", body)
			return err
		})
	})
}

func runPostgresCopy(ctx context.Context, address, dir string) error {
	return withPostgres(ctx, dir, func(pool *pgxpool.Pool) error {
		commit := func(bodies [][]byte) error {
			_, err := pool.CopyFrom(ctx, pgx.Identifier{"events"}, []string{"body"},
				pgx.CopyFromSlice(len(bodies), func(i int) ([]any, error) {
					return []any{bodies[i]}, nil
				}))
			return err
		}
		// Two, so that one copies while the other waits for the disk.
		return serve(ctx, address, gather(ctx, commit, commit))
	})
}
