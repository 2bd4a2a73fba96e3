package webhook_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/benchmark/turns"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/webhook"
	"pillarbox/internal/signature"
)

const (
	inFlight = 64   // requests that both sides have on their way
	perBatch = 1000 // events, as a delivery writes at once
)

// BenchmarkWrite compares Write, which encodes and signs each event, with a bare client of net/http that
// sends the same requests, made beforehand, to the same receiver with as many in flight, in turns.
func BenchmarkWrite(b *testing.B) {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer receiver.Close()
	sink := open(b, receiver.URL, webhook.Options{Concurrency: inFlight, SigningSecrets: []string{secret}})
	bare := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: inFlight}}
	defer bare.CloseIdleConnections()
	signer, err := signature.NewSigner([]string{secret})
	if err != nil {
		b.Fatal(err)
	}
	turns.Measure(b, func(n int) (int, time.Duration) {
		events := enginetest.Usual(perBatch, n)
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := sink.Write(ctx, events); err != nil {
			b.Fatal(err)
		}
		return len(events), time.Since(start)
	}, func(n int) (int, time.Duration) {
		events := enginetest.Usual(perBatch, n)
		requests := make([]*http.Request, len(events))
		for i, event := range events {
			requests[i] = prepare(b, signer, receiver.URL, event)
		}
		start := time.Now()
		sendAll(b, bare, requests)
		return len(events), time.Since(start)
	})
}

func prepare(b *testing.B, signer *signature.Signer, to string, event *pillarbox.Event) *http.Request {
	body, err := event.MarshalJSON()
	if err != nil {
		b.Fatal(err)
	}
	request, err := http.NewRequestWithContext(b.Context(), http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	timestamp, signatures := signer.Sign(event.RequestID, time.Now(), body)
	for name, value := range map[string]string{"Content-Type": "application/json", "User-Agent": "pillarbox", "Idempotency-Key": event.RequestID,
		signature.HeaderID: event.RequestID, signature.HeaderTimestamp: timestamp, signature.HeaderSignature: signatures} {
		request.Header.Set(name, value)
	}
	return request
}

func sendAll(b *testing.B, client *http.Client, requests []*http.Request) {
	next := make(chan *http.Request, len(requests))
	for _, request := range requests {
		next <- request
	}
	close(next)
	var workers sync.WaitGroup
	for range inFlight {
		workers.Go(func() {
			for request := range next {
				response, err := client.Do(request)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		})
	}
	workers.Wait()
}
