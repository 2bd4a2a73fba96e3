package main

import (
	"context"
	"fmt"
	"net"
	"net/http"

	"pillarbox"
	"pillarbox/internal/express"
	"pillarbox/internal/ingest"
)

// serveFront is the event loop with nothing behind it: what it answers is what the front alone can do.
func serveFront(ctx context.Context, address string) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	route := &express.Route{Source: "app", MaxBody: maxBenchBody}
	server, err := express.New(listener.(*net.TCPListener), express.Options{
		Acceptor: forgetful{}, Route: func(string) *express.Route { return route },
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

// AcceptInto implements express.Acceptor.
func (forgetful) AcceptInto(_ context.Context, requests []ingest.Request, results []ingest.Result) []ingest.Result {
	results = results[:0]
	for range requests {
		results = append(results, ingest.Result{Receipt: pillarbox.Receipt{
			RequestID: "01a20982-735b-7980-86a3-0c4338e0f4c0", Timestamp: 1_795_455_873_883_608, Status: pillarbox.StateAccepted,
		}})
	}
	return results
}
