package deliver_test

import (
	"context"
	"testing"
	"testing/synctest"

	"pillarbox/internal/deliver"
)

// TestHurryEndsWaits, those that run and those that begin later.
func TestHurryEndsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		watch := deliver.NewWatch()
		expected := watch.Expect("id")
		defer expected.Close()
		ended := make(chan bool, 1)
		go func() { ended <- expected.Wait(context.Background(), []string{"events"}) }()
		synctest.Wait()
		if len(ended) != 0 {
			t.Fatal("it does not wait")
		}
		watch.Hurry()
		if <-ended || expected.Wait(context.Background(), []string{"events"}) {
			t.Error("what is not stored counts as stored")
		}
		if !expected.Wait(context.Background(), nil) {
			t.Error("what is stored everywhere does not count")
		}
	})
}
