package pillarbox_test

import (
	"testing"

	"pillarbox"
)

// The canary's events are taken from both sides of the equation, however many of them are on their
// way.
func TestTheAccountWithoutTheCanaryBalances(t *testing.T) {
	whole := pillarbox.Account{Accepted: 20, Skipped: 7, Stored: 6, Dead: 1, Pending: 6, Held: 2,
		SkippedBy: pillarbox.Skips{Source: 2, Canary: 5}}
	for onWay, taken := range map[uint64]uint64{0: 5, 1: 6, 4: 9, 100: 9} {
		users, canary := whole.WithoutCanary(onWay)
		if canary != taken || users.Accepted != 20-taken || users.Skipped != 2 || users.SkippedBy.Canary != 0 ||
			users.Accepted != users.Skipped+users.Stored+users.Dead+users.Pending ||
			users.Pending < users.Held {
			t.Errorf("%d on their way: %+v, %d taken out", onWay, users, canary)
		}
	}
	if (&pillarbox.Event{Source: "app", Header: pillarbox.Header{{Name: pillarbox.CanaryHeader, Value: "1"}}}).IsCanary() {
		t.Error("a header makes a canary of a user's event")
	}
}
