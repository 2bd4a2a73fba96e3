package rollup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/rollup"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// box is a server that counts, in a bubble.
type box struct {
	t     *testing.T
	fs    *faultfs.FS
	log   bytes.Buffer
	count atomic.Int64 // of the process
	gauge atomic.Int64
	fast  atomic.Uint64 // observations of up to 10 ms
	slow  atomic.Uint64 // of up to 1 s

	history *rollup.History
	stop    func() // returns when Run has
}

func (b *box) start() {
	b.t.Helper()
	b.set(0, int(b.gauge.Load()), 0, 0) // a process begins at zero
	b.history = rollup.Open(rollup.Options{FS: b.fs, Logger: slog.New(slog.NewTextHandler(&b.log, nil)),
		Sample: func(context.Context) (rollup.Sample, error) {
			fast, slow := b.fast.Load(), b.slow.Load()
			return rollup.Sample{Counters: map[string]float64{"accepted": float64(b.count.Load()), "odd": math.NaN()}, Gauges: map[string]float64{"pending": float64(b.gauge.Load())},
				Histograms: map[string]rollup.Histogram{"lag": {Buckets: map[float64]uint64{.01: fast, 1: fast + slow}, Count: fast + slow}}}, nil
		}})
	ctx, cancel := context.WithCancel(b.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.history.Run(ctx) }()
	b.stop = func() {
		cancel()
		if err := <-ended; err != nil {
			b.t.Errorf("run: %v", err)
		}
	}
}

func (b *box) set(count, gauge int, fast, slow uint64) {
	b.count.Store(int64(count))
	b.gauge.Store(int64(gauge))
	b.fast.Store(fast)
	b.slow.Store(slow)
}

// pass lets time go by, and the sample of its last minute be taken.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// points returns the value of all points that there are, and their sum.
func (b *box) points(resolution rollup.Resolution, name string) (list []float64, sum float64) {
	b.t.Helper()
	span := 24 * time.Hour
	if resolution == rollup.Hour {
		span *= 60
	}
	points, err := b.history.Points(b.t.Context(), resolution, pillarbox.TimestampOf(time.Now().Add(-span)), pillarbox.TimestampOf(time.Now().Add(time.Minute)))
	if err != nil {
		b.t.Fatal(err)
	}
	for i, p := range points {
		if i > 0 && p.At <= points[i-1].At {
			b.t.Errorf("point %s comes behind %s", p.At, points[i-1].At)
		}
		list, sum = append(list, p.Values[name]), sum+p.Values[name]
	}
	return list, sum
}

func (b *box) wants(resolution rollup.Resolution, name string, want ...float64) {
	b.t.Helper()
	if got, _ := b.points(resolution, name); fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Errorf("%s by the %s: %v, want %v", name, resolution, got, want)
	}
}

func inBubble(t *testing.T, story func(b *box)) {
	synctest.Test(t, func(t *testing.T) {
		b := &box{t: t, fs: faultfs.New(faultfs.Options{})}
		b.start()
		story(b)
	})
}

// What happens in a minute is a point, across orderly restarts, of which none counts twice; an hour is
// the sum of its minutes, and the highest of what goes up and down.
func TestMinutesAddUpToHours(t *testing.T) {
	inBubble(t, func(b *box) {
		b.set(10, 7, 98, 2)
		pass(time.Minute)
		b.set(15, 3, 98, 2)
		pass(time.Minute)
		pass(time.Minute)
		b.wants(rollup.Minute, "accepted", 10, 5, 0)
		b.wants(rollup.Minute, "pending", 7, 3, 3)
		b.wants(rollup.Minute, "lag_p50_seconds", .01*50/98, 0, 0)
		b.wants(rollup.Minute, "lag_p99_seconds", .01+.99*1/2, 0, 0)
		b.count.Store(16)
		time.Sleep(30 * time.Second)
		b.stop() // with a half of a minute
		b.start()
		b.count.Store(100)
		pass(30 * time.Second)
		b.wants(rollup.Minute, "accepted", 10, 5, 0, 101)
		pass(57 * time.Minute)
		b.wants(rollup.Hour, "accepted", 116)
		b.wants(rollup.Hour, "pending", 7)
		b.wants(rollup.Hour, "lag_p99_seconds", .01+.99*1/2)
		b.count.Add(20)
		pass(10 * time.Minute)
		b.stop() // an hour ends while no server runs
		time.Sleep(3 * time.Hour)
		b.start()
		pass(time.Minute)
		b.wants(rollup.Hour, "accepted", 116, 20)
		b.stop()
	})
}

// A kill, and a power cut at any moment, cost at most the minute that is not over; nothing that is there
// counts twice, and hours that have ended meanwhile are added up.
func TestAPowerCutCostsAMinute(t *testing.T) {
	torn := 0
	for seed := range uint64(60) {
		inBubble(t, func(b *box) {
			random := rand.New(rand.NewPCG(seed, 1))
			kept := 0.0
			for life := range 4 {
				for range 1 + random.IntN(80) {
					kept++
					b.count.Add(1)
					pass(time.Minute)
				}
				if disk := b.cut(random); disk == nil {
					b.fs.Inject(nil)
					kept++ // the cut was to come behind all that was done
				} else {
					b.fs.Inject(func(faultfs.Op) error { return syscall.EIO }) // the old life reaches nothing any more
					b.stop()
					b.fs = disk
					b.log.Reset()
					b.start()
				}
				_, sum := b.points(rollup.Minute, "accepted")
				if sum == kept+1 { // the minute of the cut is whole
					kept++
					torn++
				}
				if sum != kept {
					b.t.Fatalf("seed %d, life %d: %v are kept, want %v\n%s", seed, life, sum, kept, b.log.String())
				}
			}
			pass(2 * time.Hour)
			if _, sum := b.points(rollup.Hour, "accepted"); sum != kept {
				b.t.Errorf("seed %d: hours have %v, want %v", seed, sum, kept)
			}
			if strings.Contains(b.log.String(), "can't be read") {
				b.t.Errorf("seed %d: what a power cut leaves is called damage:\n%s", seed, b.log.String())
			}
			b.stop()
		})
	}
	if torn == 0 {
		t.Error("no cut came behind a write")
	}
}

// cut lets a minute pass, and takes the disk as a power cut at one of its operations leaves it; nil where
// there were fewer of them.
func (b *box) cut(random *rand.Rand) (disk *faultfs.FS) {
	at, mode := 1+random.IntN(8), faultfs.Dropped+faultfs.Mode(random.IntN(6))
	b.fs.After(func(faultfs.Op, error) {
		if at--; at == 0 {
			disk = b.fs.Crash(random, mode)
		}
	})
	b.count.Add(1)
	pass(time.Minute)
	b.fs.After(nil)
	return disk
}

// While the disk is full, or does not sync, what is known is in memory, and is written when that is
// possible, once.
func TestAFullDiskCostsNothing(t *testing.T) {
	for name, fault := range map[string]func(op faultfs.Op) error{
		"no room":      func(op faultfs.Op) error { return failing(op, syscall.ENOSPC, faultfs.Write) },
		"no sync":      func(op faultfs.Op) error { return failing(op, syscall.EIO, faultfs.Sync) },
		"no sync, dir": func(op faultfs.Op) error { return failing(op, syscall.EIO, faultfs.SyncDir) },
	} {
		for _, from := range []int{0, 2} { // before there is a file, and after
			t.Run(fmt.Sprint(name, " from ", from), func(t *testing.T) {
				inBubble(t, func(b *box) {
					for range from {
						b.count.Add(1)
						pass(time.Minute)
					}
					b.fs.Inject(fault)
					want := make([]float64, from+3)
					for i := range want {
						want[i] = 1
					}
					for range 3 {
						b.count.Add(1)
						pass(time.Minute)
					}
					b.wants(rollup.Minute, "accepted", want...)
					unasked := from > 0 && name == "no sync, dir" // the name is durable already
					if told := strings.Count(b.log.String(), "level=WARN"); told != 1 && !unasked {
						b.t.Errorf("it is told %d times:\n%s", told, b.log.String())
					}
					b.fs.Inject(nil)
					pass(time.Minute)
					b.wants(rollup.Minute, "accepted", append(want, 0)...)
					disk := b.fs.Crash(nil, faultfs.Dropped)
					b.stop()
					b.fs = disk
					b.start()
					b.wants(rollup.Minute, "accepted", append(want, 0)...)
					b.stop()
				})
			})
		}
	}
}

func failing(op faultfs.Op, err error, kinds ...faultfs.Kind) error {
	for _, kind := range kinds {
		if op.Kind == kind {
			return err
		}
	}
	return nil
}

// A file that is damaged is named, put aside and begun anew with what can be read of it.
func TestADamagedFileIsNamed(t *testing.T) {
	inBubble(t, func(b *box) {
		for range 3 {
			b.count.Add(1)
			pass(time.Minute)
		}
		b.stop()
		name := "history/minute-" + time.Now().UTC().Format("2006-01-02") + ".ndjson"
		whole, err := vfs.ReadFile(b.fs, name, 1<<20)
		if err != nil {
			b.t.Fatal(err)
		}
		if err := b.fs.Flip(name, int64(bytes.IndexByte(whole, '\n')+12), 1); err != nil {
			b.t.Fatal(err)
		}
		b.start()
		b.wants(rollup.Minute, "accepted", 1, 1)
		b.count.Add(1)
		pass(time.Minute)
		b.wants(rollup.Minute, "accepted", 1, 1, 1)
		b.count.Add(1)
		pass(time.Minute)
		b.wants(rollup.Minute, "accepted", 1, 1, 1, 1)
		if told := strings.Count(b.log.String(), "a file of the history can't be read"); told != 1 || !strings.Contains(b.log.String(), name) {
			b.t.Errorf("it is told %d times:\n%s", told, b.log.String())
		}
		aside, err := vfs.ReadFile(b.fs, name+".damaged", 1<<20)
		if err != nil || len(aside) != len(whole) {
			b.t.Errorf("%d bytes are aside, %v; it had %d", len(aside), err, len(whole))
		}
		b.stop()
	})
}

// A week by the minute and a year by the hour are kept, and no more.
func TestWhatIsOldGoes(t *testing.T) {
	inBubble(t, func(b *box) {
		for range 55 {
			b.count.Add(1)
			pass(time.Hour)
			b.stop()
			time.Sleep(8*24*time.Hour - time.Hour)
			b.start()
		}
		pass(2 * time.Minute)
		entries, err := b.fs.ReadDir(rollup.Directory)
		if err != nil || len(entries) > 2+14 || len(entries) < 13 {
			b.t.Errorf("%d files, %v: %v", len(entries), err, entries)
		}
		since := pillarbox.TimestampOf(time.Now().Add(-rollup.KeepHours))
		points, err := b.history.Points(b.t.Context(), rollup.Hour, since, since+pillarbox.Timestamp(9*24*time.Hour/time.Microsecond))
		if err != nil || len(points) == 0 || points[0].Values["accepted"] != 1 {
			b.t.Errorf("of a year ago: %v, %v", points, err)
		}
		b.stop()
	})
}

// Answers and samples are bounded.
func TestBounds(t *testing.T) {
	inBubble(t, func(b *box) {
		now := time.Now()
		for _, test := range []struct {
			resolution rollup.Resolution
			span       time.Duration
			good       bool
		}{
			{rollup.Minute, rollup.MaxPoints * time.Minute, true}, {rollup.Minute, (rollup.MaxPoints + 1) * time.Minute, false},
			{rollup.Hour, rollup.MaxPoints * time.Hour, true}, {rollup.Hour, (rollup.MaxPoints + 1) * time.Hour, false}, {"day", time.Hour, false},
		} {
			_, err := b.history.Points(b.t.Context(), test.resolution, pillarbox.TimestampOf(now.Add(-test.span)), pillarbox.TimestampOf(now))
			if (err == nil) != test.good || err != nil && !errors.Is(err, pillarbox.ErrInvalid) {
				b.t.Errorf("%s of %s: %v", test.span, test.resolution, err)
			}
		}
		b.stop()
		b.fs = faultfs.New(faultfs.Options{})
		many := map[string]float64{}
		for i := range rollup.MaxValues + 10 {
			many[fmt.Sprintf("n%04d", i)] = 1
		}
		h := rollup.Open(rollup.Options{FS: b.fs, Logger: slog.New(slog.NewTextHandler(&b.log, nil)),
			Sample: func(context.Context) (rollup.Sample, error) { return rollup.Sample{Counters: many}, nil }})
		ctx, cancel := context.WithCancel(b.t.Context())
		cancel()
		if err := h.Run(ctx); err != nil {
			b.t.Fatal(err)
		}
		points, err := h.Points(b.t.Context(), rollup.Minute, pillarbox.TimestampOf(now.Add(-time.Hour)), pillarbox.TimestampOf(now.Add(time.Hour)))
		if err != nil || len(points) != 1 || len(points[0].Values) != rollup.MaxValues {
			b.t.Errorf("points %d, %v", len(points), err)
		}
		if !strings.Contains(b.log.String(), "leaves out numbers") {
			b.t.Errorf("nobody is told:\n%s", b.log.String())
		}
	})
}

// What the disk does not take waits, up to a bound, behind which the oldest goes and is counted.
func TestWhatWaitsIsBounded(t *testing.T) {
	inBubble(t, func(b *box) {
		b.fs.Inject(func(op faultfs.Op) error { return failing(op, syscall.ENOSPC, faultfs.Write) })
		for range rollup.MaxWaiting + 10 {
			b.count.Add(1)
			pass(time.Minute)
		}
		b.fs.Inject(nil)
		pass(time.Minute)
		until := pillarbox.TimestampOf(time.Now())
		since := until - pillarbox.Timestamp(rollup.MaxPoints*time.Minute/time.Microsecond)
		points, err := b.history.Points(b.t.Context(), rollup.Minute, since, until)
		if err != nil || len(points) != rollup.MaxWaiting+1 { // and the one that is written at last
			b.t.Errorf("%d minutes are kept, %v", len(points), err)
		}
		if !strings.Contains(b.log.String(), "written again, without the records that memory had no room for") || !strings.Contains(b.log.String(), "items=10") {
			b.t.Errorf("nobody is told how many went:\n%s", b.log.String())
		}
		b.stop()
	})
}

// What an error says nothing of is left where it is: a process without descriptors opens no file.
func TestAFileThatCantBeOpenedIsLeftAlone(t *testing.T) {
	inBubble(t, func(b *box) {
		b.count.Add(1)
		pass(time.Minute)
		b.stop()
		b.fs.Inject(func(op faultfs.Op) error { return failing(op, syscall.EMFILE, faultfs.OpenFile) })
		b.start()
		b.count.Add(2)
		pass(time.Minute)
		b.fs.Inject(nil)
		pass(time.Minute)
		b.wants(rollup.Minute, "accepted", 1, 2, 0)
		b.stop()
	})
}

// A file that is too large to be one of ours is put aside unread.
func TestAFileThatIsTooLargeIsPutAside(t *testing.T) {
	inBubble(t, func(b *box) {
		b.count.Add(1)
		pass(time.Minute)
		b.stop()
		name := "history/minute-" + time.Now().UTC().Format("2006-01-02") + ".ndjson"
		file, err := b.fs.OpenFile(name, os.O_RDWR)
		if err != nil {
			b.t.Fatal(err)
		}
		if err := errors.Join(file.Truncate(rollup.MaxFileBytes+1), file.Close()); err != nil {
			b.t.Fatal(err)
		}
		b.start()
		b.count.Add(5)
		pass(time.Minute)
		b.wants(rollup.Minute, "accepted", 5)
		if !strings.Contains(b.log.String(), name) {
			b.t.Errorf("nobody is told:\n%s", b.log.String())
		}
		b.stop()
	})
}
