package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"pillarbox"
	"pillarbox/internal/engine/sqlite"
)

// An event that is written twice is stored once.
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	store, err := sqlite.Open(ctx, filepath.Join(dir, "events.db"), sqlite.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	event := []*pillarbox.Event{{Timestamp: 1, RequestID: "01a20982-735b-7980-86a3-0c4338e0f4c0",
		Source: "app", Body: []byte("hello")}}
	fmt.Println(store.Write(ctx, event), store.Write(ctx, event))
	n, err := store.Count(ctx)
	fmt.Println(n, err, store.Close())
	// Output:
	// <nil> <nil>
	// 1 <nil> <nil>
}
