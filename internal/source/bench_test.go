package source_test

import (
	"bytes"
	"testing"

	"pillarbox"
	"pillarbox/internal/source"
)

// BenchmarkIdempotency is what a key in the header costs the source.
func BenchmarkIdempotency(b *testing.B) {
	app := source.New(source.Settings{Name: "app"}, source.Options{})
	body := bytes.Repeat([]byte("x"), 200)
	head := &source.Head{Method: "POST", Path: "/app", Header: pillarbox.Header{{Name: "Host", Value: "localhost"},
		{Name: "Content-Type", Value: "application/json"}, {Name: "Idempotency-Key", Value: "0123456789abcdef"}}}
	content := source.Content{Method: "POST", Path: "/app", Header: head.Header, Body: body}
	b.ReportAllocs()
	for range b.N {
		grant, _, err := app.AdmitOne(head, body)
		if err != nil || grant.Idempotency(&content).IsZero() {
			b.Fatal(err)
		}
	}
}
