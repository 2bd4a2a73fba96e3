// Command peers runs the products that pillarbox is compared with, each behind the thinnest handler
// that makes it take POST requests. It is a module of its own, so that nobody who uses pillarbox
// carries their clients.
//
//	peers list                       the table below as JSON, with what is missing on this machine
//	peers run NAME ADDRESS DIR       one of them, until SIGTERM, as children of this process and with its data in DIR
//
// Everything listens on loopback only and is thrown away afterwards.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// peer is one product in one setting.
type peer struct {
	Name  string `json:"name"`
	Class string `json:"class"`          // "nothing stored", "before fsync" or "durable"
	Means string `json:"means"`          // what its acknowledgement means
	Path  string `json:"path,omitempty"` // where it takes requests; default /app
	// Missing says what to do where it can't be run.
	Missing string `json:"missing,omitempty"`

	needs needs
	run   func(ctx context.Context, address, dir string) error // until ctx ends
}

const (
	nothing = "nothing stored"
	before  = "before fsync"
	durable = "durable"
)

// peers is the table of all of them: name, what its acknowledgement means, how it is started.
var peers = []peer{
	{Name: "nginx return 204", Class: nothing, Means: "nothing: the floor", needs: nginxNeeds,
		run: runNginx},
	{Name: "Redis XADD, appendfsync always", Class: durable, Means: "synced", needs: redisNeeds,
		run: runRedis},
	{Name: "PostgreSQL, INSERT per request", Class: durable, Means: "WAL flushed",
		needs: postgresNeeds, run: runPostgresInsert},
	{Name: "PostgreSQL, gathered into COPY", Class: durable, Means: "WAL flushed",
		needs: postgresNeeds, run: runPostgresCopy},
	{Name: "SQLite, transaction per request", Class: durable, Means: "synced", needs: sqliteNeeds,
		run: runSQLiteEach},
	{Name: "SQLite, gathered per transaction", Class: durable, Means: "synced", needs: sqliteNeeds,
		run: runSQLiteGathered},
	{Name: "NATS JetStream, sync always", Class: durable, Means: "fsync each", run: runNATSAlways},
	{Name: "NATS JetStream, defaults", Class: before, Means: "written, synced every 2 minutes",
		run: runNATSDefault},
	{Name: "RabbitMQ quorum queue, confirms", Class: durable, Means: "synced", needs: rabbitNeeds,
		run: runRabbit},
	{Name: "Telegraf http_listener_v2 to file", Class: before, Means: "in memory",
		needs: telegrafNeeds, run: runTelegraf},
}

func main() {
	if err := command(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func command(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "list":
		for i := range peers {
			peers[i].Missing = peers[i].needs.missing()
		}
		return json.NewEncoder(os.Stdout).Encode(peers)
	case len(args) == 4 && args[0] == "run":
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		for _, p := range peers {
			if p.Name == args[1] {
				return p.run(ctx, args[2], args[3])
			}
		}
		return fmt.Errorf("there is no peer %q", args[1])
	}
	return errors.New("want list, or run NAME ADDRESS DIR")
}
