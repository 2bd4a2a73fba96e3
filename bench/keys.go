package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"pillarbox"
	"pillarbox/internal/benchmark"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/source"
	"pillarbox/internal/vfs"
)

// fillGroup is how many events one commit has.
const fillGroup = 4096

// fillKeys writes a log with benchmark.HeldKeys, as if each of the requests of benchmark.Held had
// come: the same keys and fingerprints, in events without a body. Posting them would take some two
// minutes and four times the disk; this takes some twenty seconds.
func fillKeys(ctx context.Context, dir string) (err error) {
	began := time.Now()
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	disk, err := vfs.OpenDisk(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	log, err := seglog.Open(disk, "queue", seglog.Options{MaxBytes: 1 << 40})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	body := benchmark.HeldBody()
	app := source.New(source.Settings{Name: "app"}, source.Options{})
	events := make([]*pillarbox.Event, 0, fillGroup)
	for n := range uint64(benchmark.HeldKeys) {
		event, err := heldEvent(app, body, n)
		if err != nil {
			return err
		}
		if events = append(events, event); len(events) < fillGroup && n < benchmark.HeldKeys-1 {
			continue
		}
		if err := appendAgain(ctx, log, events); err != nil {
			return err
		}
		events = events[:0]
	}
	fmt.Fprintf(os.Stderr, "%d keys were made in %.0f s\n", benchmark.HeldKeys, time.Since(began).Seconds())
	return nil
}

// heldEvent is what is kept of one request, with a request id of its own.
func heldEvent(app *source.Source, body []byte, n uint64) (*pillarbox.Event, error) {
	head := &source.Head{Method: http.MethodPost, Path: "/app", Header: pillarbox.Header{
		{Name: "Idempotency-Key", Value: fmt.Sprintf("%016x", n)}}}
	grant, _, err := app.AdmitOne(head, body)
	if err != nil {
		return nil, err
	}
	return &pillarbox.Event{
		Timestamp: pillarbox.Timestamp(time.Now().UnixMicro()), Source: "app", Method: head.Method, Path: head.Path,
		RequestID:   fmt.Sprintf("%08x-0000-7000-8000-000000000000", n),
		Idempotency: grant.Idempotency(&source.Content{Method: head.Method, Path: head.Path, Body: body}),
	}, nil
}

// fillPause is how long an index has to catch up that has more to write than it may keep.
const fillPause = 50 * time.Millisecond

// appendAgain appends once the index takes keys: it is asked for the first one, as by a request.
func appendAgain(ctx context.Context, log *seglog.Log, events []*pillarbox.Event) error {
	claims := []pillarbox.KeyClaim{{Idempotency: events[0].Idempotency,
		Timestamp: events[0].Timestamp, RequestID: events[0].RequestID}}
	for {
		log.Keys().Claim(ctx, claims)
		if claims[0].State != pillarbox.KeyRefused {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(fillPause):
		}
	}
	if claims[0].State != pillarbox.KeyNew {
		return fmt.Errorf("the key of %s is not new", events[0].RequestID)
	}
	if err := log.AppendInline(ctx, events); err != nil {
		return err
	}
	claims[0].Outcome = pillarbox.KeyStored
	return log.Keys().Settle(ctx, claims)
}
