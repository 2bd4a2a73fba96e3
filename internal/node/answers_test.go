package node

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
)

// TestLastAnswerWhileNothingAnswers lets a call hang: who asks gets the last answer after a moment,
// and then at once, without another call; what nobody ever knew is an error; and when it returns,
// the answers are fresh again.
func TestLastAnswerWhileNothingAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answers lastAnswers
		var calls atomic.Int64
		release := make(chan struct{})
		ask := func(name string, hangs bool) (int, error) {
			return answerOf(&answers, name, func() (int, error) {
				n := int(calls.Add(1))
				if hangs {
					<-release
				}
				return n, nil
			})
		}
		want := func(n int, err error, after time.Duration, wantN int) {
			t.Helper()
			if n != wantN || err != nil || after > patience {
				t.Errorf("%d %v after %s, want %d", n, err, after, wantN)
			}
		}
		n, err := ask("a", false)
		want(n, err, 0, 1)
		began := time.Now()
		n, err = ask("a", true)
		want(n, err, time.Since(began), 1)
		began = time.Now()
		for range 10 {
			n, err = ask("a", true)
			want(n, err, patience+time.Since(began), 1)
		}
		if n := calls.Load(); n != 2 {
			t.Errorf("%d calls, want no more than one that hangs", n)
		}
		if _, err := ask("b", true); !errors.Is(err, pillarbox.ErrUnavailable) {
			t.Errorf("%v, want that nothing is known", err)
		}
		close(release)
		synctest.Wait()
		n, err = ask("a", false)
		want(n, err, 0, 4)
	})
}
