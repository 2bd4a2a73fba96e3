package seglog_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs/faultfs"
)

const commitTimeout = 5 * time.Second

// TestKeepsTheContractWithABound: a bound on commits changes nothing for a disk that answers.
func TestKeepsTheContractWithABound(t *testing.T) {
	enginetest.Queue(t, func(t *testing.T, now func() time.Time) pillarbox.Queue {
		options := small()
		options.Now, options.CommitTimeout = now, commitTimeout
		return openLog(t, faultfs.New(faultfs.Options{}), options)
	})
}

// hang stops one operation of a disk, and fails it in the end or not.
type hang struct {
	armed   atomic.Bool
	entered chan struct{}
	release chan error
}

func hangOn(disk *faultfs.FS, kind faultfs.Kind) *hang {
	h := &hang{entered: make(chan struct{}, 1), release: make(chan error)}
	var live atomic.Pointer[string] // the file that groups are written to; others are only filled
	disk.Inject(func(op faultfs.Op) error {
		if op.Kind == faultfs.Write && op.Offset > 0 && op.Length <= 16<<10 {
			live.Store(&op.Name)
		}
		if name := live.Load(); op.Kind == kind && name != nil && *name == op.Name &&
			h.armed.CompareAndSwap(true, false) {
			h.entered <- struct{}{}
			return <-h.release
		}
		return nil
	})
	return h
}

// TestHangingDisk lets the disk hang in each call of a commit for longer than it may: whoever waits
// is told in time that the outcome is not known, whoever comes later is refused at once, and the
// queue says so. When the call returns, well or not, the log goes on by itself, with every event
// once.
func TestHangingDisk(t *testing.T) {
	for _, kind := range []faultfs.Kind{faultfs.Write, faultfs.Sync} {
		for _, end := range []error{nil, syscall.EIO} {
			for _, inline := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%v/inline=%t", kind, end, inline), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { testHangingDisk(t, kind, end, inline) })
				})
			}
		}
	}
}

func testHangingDisk(t *testing.T, kind faultfs.Kind, end error, inline bool) {
	disk := faultfs.New(faultfs.Options{})
	h := hangOn(disk, kind)
	options := small()
	options.CommitTimeout = commitTimeout
	log := openLog(t, disk, options)
	defer log.Close()
	if _, err := log.Account("events"); err != nil {
		t.Fatal(err)
	}
	events := enginetest.Events(4, 1)
	ctx, began := context.Background(), time.Now()
	if err := log.Append(ctx, events[:1]); err != nil {
		t.Fatal(err)
	}
	h.armed.Store(true)
	leader, follower := make(chan error, 1), make(chan error, 1)
	go func() {
		if inline {
			leader <- log.AppendInline(ctx, events[1:2])
		} else {
			leader <- log.Append(ctx, events[1:2])
		}
	}()
	<-h.entered
	go func() { follower <- log.Append(ctx, events[2:3]) }()
	if err := <-follower; !errors.Is(err, pillarbox.ErrUnavailable) ||
		errors.Is(err, pillarbox.ErrUnknown) ||
		pillarbox.RetryAfter(err) == 0 {
		t.Errorf("behind the commit that hangs: %v, want a refusal that says when to come back",
			err)
	}
	if !inline {
		if err := <-leader; !errors.Is(err, pillarbox.ErrUnknown) ||
			!errors.Is(err, pillarbox.ErrUnavailable) ||
			pillarbox.RetryAfter(err) == 0 {
			t.Errorf("in the commit that hangs: %v, want an outcome that is not known", err)
		}
	}
	if took := time.Since(began); took > commitTimeout {
		t.Errorf("they were told after %s, and the bound is %s", took, commitTimeout)
	}
	time.Sleep(7 * time.Second)
	began = time.Now()
	if err := log.Append(ctx, events[3:]); !errors.Is(err, pillarbox.ErrUnavailable) ||
		errors.Is(err, pillarbox.ErrUnknown) ||
		time.Since(began) > 0 {
		t.Errorf("while the disk hangs: %v after %s, want a refusal at once", err,
			time.Since(began))
	}
	if stats := log.Stats(); stats.Hanging != 12*time.Second ||
		!strings.Contains(stats.Problem, "has not answered for 12 s") {
		t.Errorf("the queue says %q, and hangs for %s", stats.Problem, stats.Hanging)
	}
	h.release <- end
	if inline {
		if err := <-leader; err != nil {
			t.Errorf("the commit itself: %v", err)
		}
	}
	synctest.Wait()
	if stats := log.Stats(); stats.Problem != "" || stats.Hanging != 0 || stats.Accepted != 2 {
		t.Errorf("afterwards the queue says %+v", stats)
	}
	if err := log.Append(ctx, events[3:]); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	wantLogged(t, log, events[0], events[1], events[3])
}

// wantLogged sees that the log holds the events and nothing else, and that they are whole.
func wantLogged(t *testing.T, log *seglog.Log, want ...*pillarbox.Event) {
	t.Helper()
	i := 0
	err := log.Scan(
		context.Background(),
		"events",
		func(event *pillarbox.Event, _ pillarbox.Standing) error {
			if i == len(want) {
				return fmt.Errorf("one more than %d events: %s", i, event.RequestID)
			}
			if diff := enginetest.Diff(event, want[i]); diff != "" {
				return fmt.Errorf("event %d: %s", i, diff)
			}
			i++
			return nil
		},
	)
	if err != nil || i != len(want) {
		t.Errorf("%d of %d events are in the log: %v", i, len(want), err)
	}
}

// TestHangOfTheMaintenance lets the disk hang while nobody posts: the next post is refused in time.
func TestHangOfTheMaintenance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := faultfs.New(faultfs.Options{})
		options := small()
		options.CommitTimeout = commitTimeout
		log := openLog(t, disk, options)
		defer log.Close()
		if _, err := log.Account("events"); err != nil {
			t.Fatal(err)
		}
		events := enginetest.Events(2, 1)
		if err := log.Append(context.Background(), events[:1]); err != nil {
			t.Fatal(err)
		}
		entered, release := make(chan struct{}), make(chan struct{})
		var once atomic.Bool
		disk.Inject(func(op faultfs.Op) error {
			if op.Kind == faultfs.Write && op.Offset > 0 && op.Length < 512 &&
				once.CompareAndSwap(false, true) {
				close(entered) // the mark behind the last frame
				<-release
			}
			return nil
		})
		<-entered
		time.Sleep(time.Second)
		began := time.Now()
		if err := log.Append(context.Background(), events[1:]); !errors.Is(err,
			pillarbox.ErrUnavailable) ||
			time.Since(began) > commitTimeout {
			t.Errorf("%v after %s, want a refusal in time", err, time.Since(began))
		}
		close(release)
		synctest.Wait()
		if err := log.Append(context.Background(), events[1:]); err != nil {
			t.Error(err)
		}
		wantLogged(t, log, events...)
	})
}
