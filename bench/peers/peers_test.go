package main

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// These tests are in the package itself because a command can't be imported.

// TestWhatWaitsIsCommittedTogether, each request gets the result of its own commit, and none is
// lost.
func TestWhatWaitsIsCommittedTogether(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var commits, kept atomic.Int64
	keep := gather(ctx, func(bodies [][]byte) error {
		commits.Add(1)
		kept.Add(int64(len(bodies)))
		for _, body := range bodies {
			if string(body) == "poison" {
				return errors.New("refused")
			}
		}
		return nil
	})
	var failed atomic.Int64
	var requests sync.WaitGroup
	for i := range 500 {
		body := "good"
		if i == 7 {
			body = "poison"
		}
		requests.Go(func() {
			if keep(ctx, []byte(body)) != nil {
				failed.Add(1)
			}
		})
	}
	requests.Wait()
	if kept.Load() != 500 || failed.Load() == 0 || commits.Load() > 500 {
		t.Errorf("%d kept, %d failed, %d commits", kept.Load(), failed.Load(), commits.Load())
	}
}

// TestTheHandlerAnswersAfterTheStore, and a store that fails is no success.
func TestTheHandlerAnswersAfterTheStore(t *testing.T) {
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + strconv.Itoa(port)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, address, func(_ context.Context, body []byte) error {
			if string(body) != "good" {
				return errors.New("refused")
			}
			return nil
		})
	}()
	for body, want := range map[string]int{"good": http.StatusAccepted,
		"bad": http.StatusInternalServerError} {
		if got := post(t, address, body); got != want {
			t.Errorf("%s is answered with %d, want %d", body, got, want)
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// post tries until the server listens.
func post(t *testing.T, address, body string) int {
	deadline := time.Now().Add(10 * time.Second)
	for {
		response, err := http.Post("http://"+address+"/app", "text/plain", strings.NewReader(body))
		if err == nil {
			response.Body.Close()
			return response.StatusCode
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	n := needs{[]string{"sh", "no-such-program|/no/such/*/place"}, "apt-get install it"}
	if got := n.missing(); got != "no-such-program is missing: apt-get install it" {
		t.Errorf("got %q", got)
	}
	if got := (needs{programs: []string{"sh"}}).missing(); got != "" {
		t.Errorf("got %q", got)
	}
}
