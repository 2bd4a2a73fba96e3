package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// maxBody is pillarbox's default limit.
const maxBody = 1 << 20

// answer is as long as pillarbox's receipt.
const answer = `{"request_id":"01a20982-735b-7980-86a3-0c4338e0f4c0","timestamp":"2026-11-23T17:44:33.883608Z","status":"accepted"}` + "\n"

// store keeps one body, and returns when it is kept as well as the peer keeps things.
type store func(ctx context.Context, body []byte) error

// serve is the thin handler in front of a peer: read the body, keep it, answer. It returns when ctx
// ends.
func serve(ctx context.Context, address string, keep store) error {
	length := strconv.Itoa(len(answer))
	handler := func(w http.ResponseWriter, r *http.Request) {
		body, err := readBody(w, r)
		if err == nil {
			err = keep(r.Context(), body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", length)
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, answer) // the client is gone if this fails
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: http.HandlerFunc(handler), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // Serve returns its error
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	limited := http.MaxBytesReader(w, r.Body, maxBody)
	if r.ContentLength < 0 || r.ContentLength > maxBody {
		return io.ReadAll(limited)
	}
	body := make([]byte, r.ContentLength)
	_, err := io.ReadFull(limited, body)
	return body, err
}

// maxGathered bounds one commit of many requests.
const maxGathered = 1000

// waiting is a body whose request waits for the commit.
type waiting struct {
	body []byte
	done chan error // with room for the one result
}

// gather turns a commit of many bodies into a store of one: what came while a commit ran is the
// next one. Each of the commits runs in a goroutine of its own until ctx ends.
func gather(ctx context.Context, commits ...func(bodies [][]byte) error) store {
	queue := make(chan waiting, 4*maxGathered) // so that requests don't wait to wait
	for _, commit := range commits {
		go func() {
			for {
				group := next(ctx, queue)
				if group == nil {
					return
				}
				bodies := make([][]byte, len(group))
				for i, w := range group {
					bodies[i] = w.body
				}
				err := commit(bodies)
				for _, w := range group {
					w.done <- err
				}
			}
		}()
	}
	return func(ctx context.Context, body []byte) error {
		w := waiting{body: body, done: make(chan error, 1)}
		select {
		case queue <- w:
		case <-ctx.Done():
			return ctx.Err()
		}
		return <-w.done
	}
}

// next takes all that waits, and at least one; nil at the end.
func next(ctx context.Context, queue <-chan waiting) []waiting {
	var group []waiting
	select {
	case <-ctx.Done():
		return nil
	case w := <-queue:
		group = append(group, w)
	}
	for len(group) < maxGathered {
		select {
		case w := <-queue:
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}
