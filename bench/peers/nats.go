package main

import (
	"context"
	"errors"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func runNATSAlways(ctx context.Context, address, dir string) error {
	return runNATS(ctx, address, dir, true)
}

func runNATSDefault(ctx context.Context, address, dir string) error {
	return runNATS(ctx, address, dir, false)
}

// natsUnderWay bounds the publications without an answer; the default of the client is as many.
const natsUnderWay = 4000

// runNATS embeds the server, which spares it the hop over loopback.
func runNATS(ctx context.Context, address, dir string, sync bool) error {
	embedded, err := server.NewServer(&server.Options{DontListen: true, JetStream: true,
		StoreDir: dir, SyncAlways: sync, NoSigs: true})
	if err != nil {
		return err
	}
	embedded.Start()
	defer func() {
		embedded.Shutdown()
		embedded.WaitForShutdown()
	}()
	if !embedded.ReadyForConnections(readyBound) {
		return errors.New("NATS is not ready")
	}
	conn, err := nats.Connect("", nats.InProcessServer(embedded))
	if err != nil {
		return err
	}
	defer conn.Close()
	stream, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(natsUnderWay))
	if err != nil {
		return err
	}
	if _, err := stream.CreateStream(ctx,
		jetstream.StreamConfig{Name: "events", Subjects: []string{"events"},
			Storage: jetstream.FileStorage}); err != nil {
		return err
	}
	return serve(ctx, address, func(ctx context.Context, body []byte) error {
		future, err := stream.PublishAsync("events", body)
		if err != nil {
			return err
		}
		select {
		case <-future.Ok():
			return nil
		case err := <-future.Err():
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}
