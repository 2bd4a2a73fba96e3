package seglog_test

import (
	"context"
	"fmt"

	"pillarbox"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs/faultfs"
)

// What was appended is there after a power cut, on a disk in memory that loses what was not synced.
func ExampleOpen() {
	ctx, disk := context.Background(), faultfs.New(faultfs.Options{})
	log, err := seglog.Open(disk, "queue", seglog.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer log.Close()
	fmt.Println(log.Append(ctx, []*pillarbox.Event{
		{Timestamp: 1, RequestID: "a", Source: "app", Body: []byte("hello")}}))
	after, err := seglog.Open(disk.Crash(nil, faultfs.Dropped), "queue", seglog.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer after.Close()
	deliveries, err := after.Lease(ctx, "events", pillarbox.LeaseLimits{MaxEvents: 10})
	fmt.Println(len(deliveries), string(deliveries[0].Event.Body), err)
	// Output:
	// <nil>
	// 1 hello <nil>
}
