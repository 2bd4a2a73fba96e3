package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"pillarbox"
	"pillarbox/internal/express"
	"pillarbox/internal/ingest"
	"pillarbox/internal/source"
)

// serveFront is the event loop with nothing behind it: what it answers is what the front alone can
// do.
func serveFront(ctx context.Context, address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	sources, err := source.Compile([]source.Settings{
		{Name: "app", Path: "/app", MaxBody: maxBenchBody}}, source.Options{})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	server, err := express.New([]express.Listener{{Listener: listener}}, express.Options{
		Acceptor: forgetful{}, Sources: source.NewSources(sources),
		Problem: func(err error) (int, http.Header, []byte) {
			return http.StatusInternalServerError, http.Header{}, fmt.Append(nil, err)
		},
	})
	if err != nil {
		return err
	}
	if err := server.Run(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	return server.Close()
}

// forgetful gives a receipt for what it does not keep.
type forgetful struct{}

// AcceptInto implements ingest.Acceptor.
func (forgetful) AcceptInto(_ context.Context, requests []ingest.Request,
	results []ingest.Result) []ingest.Result {
	results = results[:0]
	for range requests {
		results = append(results, ingest.Result{Receipt: pillarbox.Receipt{
			RequestID: "01a20982-735b-7980-86a3-0c4338e0f4c0", Timestamp: 1_795_455_873_883_608, Status: pillarbox.StateAccepted,
		}})
	}
	return results
}

// AcceptBatch implements ingest.Acceptor. The loop accepts no batches.
func (f forgetful) AcceptBatch(ctx context.Context, all ingest.Request, bodies [][]byte,
	results []ingest.Result) []ingest.Result {
	return f.AcceptInto(ctx, make([]ingest.Request, len(bodies)), results)
}
