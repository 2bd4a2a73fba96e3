package ingest_test

import (
	"context"
	"fmt"

	"pillarbox/internal/engine/memory"
	"pillarbox/internal/ingest"
	"pillarbox/internal/source"
)

// Two requests become durable with one append.
func ExampleNew() {
	queue := memory.NewQueue(nil)
	app := source.New(source.Settings{Name: "app"}, source.Options{})
	grant, _, err := app.AdmitOne(&source.Head{Method: "POST"}, []byte("hello"))
	if err != nil {
		fmt.Println(err)
		return
	}
	results := ingest.New(queue, ingest.Options{}).Accept(context.Background(), []ingest.Request{
		{Grant: grant, Body: []byte("one")}, {Grant: grant, Body: []byte("two")},
	})
	for _, result := range results {
		fmt.Println(result.Receipt.Status, result.Err)
	}
	fmt.Println(queue.Stats().Accepted)
	// Output:
	// accepted <nil>
	// accepted <nil>
	// 2
}
