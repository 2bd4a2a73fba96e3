package webhook_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/webhook"
	"pillarbox/internal/signature"
)

// inFlight is how many requests both sides have on their way.
const inFlight = 64

func benchEvents(n int) []*pillarbox.Event {
	events := make([]*pillarbox.Event, 1000) // what a delivery writes at once
	for i := range events {
		events[i] = &pillarbox.Event{
			Timestamp: pillarbox.Timestamp(1_795_443_120_000_000 + n*len(events) + i), RequestID: fmt.Sprintf("0199a0b0-%04x-7000-8000-%012x", n&0xffff, i),
			Source: "app", Method: "POST", Path: "/app", ContentType: "application/json", RemoteAddr: "203.0.113.7",
			Header: pillarbox.Header{{Name: "Content-Type", Value: "application/json"}, {Name: "User-Agent", Value: "bench"}},
			Body:   fmt.Appendf(nil, `{"n":%d,"text":"%0150d"}`, i, n),
		}
	}
	return events
}

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
	var ours, theirs time.Duration
	n := 0
	write := func(events []*pillarbox.Event) {
		ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := sink.Write(ctx, events); err != nil {
			b.Fatal(err)
		}
		ours += time.Since(start)
	}
	post := func(events []*pillarbox.Event) {
		requests := make([]*http.Request, len(events))
		for i, event := range events {
			requests[i] = prepare(b, signer, receiver.URL, event)
		}
		start := time.Now()
		sendAll(b, bare, requests)
		theirs += time.Since(start)
	}
	for b.Loop() {
		events := benchEvents(n)
		if n%2 == 0 {
			write(events)
			post(events)
		} else {
			post(events)
			write(events)
		}
		n++
	}
	b.ReportMetric(float64(n*1000)/ours.Seconds(), "events/s")
	b.ReportMetric(theirs.Seconds()/ours.Seconds(), "of-bare-client")
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
