package dynamodb

import (
	"errors"
	"testing"

	"pillarbox"
)

// TestCallsThatFailAlikeSaySoOnce, and each different error is kept with its kind.
func TestCallsThatFailAlikeSaySoOnce(t *testing.T) {
	down, rotten := errors.New("no credentials"), pillarbox.ErrCorrupt
	err := joined([]error{nil, down, errors.New("no credentials"), rotten, down})
	if want := "no credentials\n" + rotten.Error(); err == nil || err.Error() != want {
		t.Errorf("it is %v, want %q", err, want)
	}
	if !errors.Is(err, down) || !errors.Is(err, rotten) {
		t.Error("a kind is lost")
	}
	if err := joined([]error{nil, nil}); err != nil {
		t.Errorf("without an error it is %v", err)
	}
}
