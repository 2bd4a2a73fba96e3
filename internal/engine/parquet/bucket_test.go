package parquet_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/parquet"
	"pillarbox/internal/engine/s3"
	"pillarbox/test/setting"
	"pillarbox/test/standin/fakes3"
)

// client is the SDK's client of the bucket, which tries each call so many times, without waiting.
func client(bucket *fakes3.Bucket, tries int) *awss3.Client {
	retryer := retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = tries
		o.Backoff = retry.BackoffDelayerFunc(func(int, error) (time.Duration, error) { return 0, nil })
		o.RateLimiter = ratelimit.None
	})
	return awss3.New(awss3.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://fakes3.example"), UsePathStyle: true,
		HTTPClient: bucket, Retryer: retryer, Credentials: credentials.NewStaticCredentialsProvider("key", "secret", "")})
}

// tree opens the part of the bucket that the tests use.
func tree(t testing.TB, bucket *fakes3.Bucket, tries int, scratch string) *s3.Tree {
	t.Helper()
	opened, err := s3.OpenTree(client(bucket, tries), fakes3.Name, "events", "", scratch)
	must(t, err)
	return opened
}

// openBucket opens a store in the bucket, with a directory of its own for unfinished files.
func openBucket(t testing.TB, bucket *fakes3.Bucket, tries int, options parquet.Options) *parquet.Store {
	t.Helper()
	scratch := t.TempDir()
	return parquet.OpenBucket("s3://bucket/events", func() (parquet.Bucket, error) {
		return s3.OpenTree(client(bucket, tries), fakes3.Name, "events", "", scratch)
	}, options)
}

func inBucket(t *testing.T, bucket *fakes3.Bucket) place {
	reader := tree(t, bucket, 1, t.TempDir())
	return place{files: reader.Files(t.Context()), open: func() *parquet.Store { return openBucket(t, bucket, 1, crashOptions()) }}
}

// inTurn is a hook that is called once at a time: objects are removed some at once.
func inTurn(hook func(op fakes3.Op)) func(op fakes3.Op) {
	var mu sync.Mutex
	return func(op fakes3.Op) {
		mu.Lock()
		defer mu.Unlock()
		hook(op)
	}
}

func TestSinkInABucket(t *testing.T) {
	for name, options := range map[string]parquet.Options{"": {}, "of days": small} {
		t.Run(name, func(t *testing.T) {
			enginetest.Sink(t, func(t *testing.T) pillarbox.Sink { return openBucket(t, &fakes3.Bucket{}, 3, options) })
			place := func(t *testing.T) func() pillarbox.Sink {
				bucket := &fakes3.Bucket{}
				return func() pillarbox.Sink { return openBucket(t, bucket, 3, options) }
			}
			enginetest.SinkDurable(t, place)
			enginetest.PurgeDurable(t, place)
		})
	}
}

// A process may be killed behind any call that changes the bucket: what was promised is there, once, for
// the next process, for who reads the manifest, and for who reads all files once that one has begun.
func TestBucketSurvivesKillsAtAnyMoment(t *testing.T) {
	kills := 0
	for seed := range uint64(1) {
		s := newStory(seed)
		bucket := &fakes3.Bucket{}
		bucket.After = inTurn(func(op fakes3.Op) {
			if !op.Changes() {
				return
			}
			kills++
			left := bucket.Clone()
			when := fmt.Sprintf("seed %d, killed behind %s %s", seed, op.Method, op.Key)
			left.After = inTurn(func(op fakes3.Op) {
				if op.Changes() && s.random.IntN(20) == 0 {
					s.checkAt(t, inBucket(t, left.Clone()), fmt.Sprintf("%s, and again behind %s %s", when, op.Method, op.Key))
				}
			})
			s.checkAt(t, inBucket(t, left), when)
		})
		p := place{open: func() *parquet.Store { return openBucket(t, bucket, 1, crashOptions()) }}
		store := openAt(t, p, "at first")
		for range 16 {
			if s.random.IntN(8) == 0 {
				must(t, store.Close())
				store = openAt(t, p, "again")
			}
			if err := s.step(t.Context(), store); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		must(t, store.Close())
		bucket.After = nil
		s.checkAt(t, inBucket(t, bucket), fmt.Sprintf("seed %d, at the end", seed))
	}
	if kills < 60 {
		t.Errorf("only %d kills", kills)
	}
	t.Logf("%d kills", kills)
}

// Any call may fail, before or after its effect, and the SDK may have tried it before. The error is
// ErrUnavailable, what had been promised stays, and what is promised afterwards holds.
func TestEveryCallToABucketMayFail(t *testing.T) {
	failures := 0
	seeds := setting.Fewer(12, 2)
	for seed := range uint64(seeds) {
		s := newStory(seed)
		bucket := &fakes3.Bucket{}
		store := openBucket(t, bucket, 1+int(seed%2), crashOptions())
		must(t, store.Check(t.Context()))
		bucket.Fault = func(fakes3.Op) fakes3.Fault {
			if s.random.IntN(8) > 0 {
				return fakes3.None
			}
			failures++
			return fakes3.Faults[s.random.IntN(len(fakes3.Faults))]
		}
		for range 20 {
			if err := s.step(t.Context(), store); err != nil && !errors.Is(err, pillarbox.ErrUnavailable) {
				t.Fatalf("seed %d: %v", seed, err)
			}
			s.checkAt(t, inBucket(t, bucket.Clone()), fmt.Sprintf("seed %d, kill", seed))
		}
		bucket.Fault = nil
		for _, e := range s.events { // the next call sets everything right
			s.may[e.Key()], s.must[e.Key()] = true, true
		}
		must(t, store.Write(t.Context(), s.events))
		must(t, store.Maintain(t.Context()))
		must(t, store.Close())
		s.checkAt(t, inBucket(t, bucket.Clone()), fmt.Sprintf("seed %d, at the end", seed))
		for name := range bucket.Objects() {
			if strings.Contains(name, "/intents/") {
				t.Errorf("seed %d: %s is left behind by a store that was closed in order", seed, name)
			}
		}
	}
	if failures < 8*seeds {
		t.Errorf("only %d calls failed", failures)
	}
}

// The answer to the call that makes a change happen may be lost. The next try of the SDK finds its own
// manifest there, and that is not another writer.
func TestALostAnswerIsNoOtherWriter(t *testing.T) {
	bucket := &fakes3.Bucket{}
	store := openBucket(t, bucket, 2, parquet.Options{Unmaintained: true})
	events := enginetest.Events(20, 97)
	must(t, store.Write(t.Context(), events[:10]))
	lost := 0
	bucket.Fault = func(op fakes3.Op) fakes3.Fault {
		if op.Method == http.MethodPut && strings.HasSuffix(op.Key, "manifest.json") && lost == 0 {
			lost++
			return fakes3.Unheard
		}
		return fakes3.None
	}
	must(t, store.Write(t.Context(), events[10:]))
	bucket.Fault = nil
	if count, err := store.Count(t.Context()); err != nil || count != 20 || lost != 1 {
		t.Errorf("%d events, %v, %d answers were lost", count, err, lost)
	}
	must(t, store.Close())
}

// Who opens the place last has it. The other one says so, changes nothing and takes nothing back, until
// the place is free.
func TestTheLastWriterHasTheBucket(t *testing.T) {
	bucket := &fakes3.Bucket{}
	events := enginetest.Events(40, 98)
	first := openBucket(t, bucket, 1, parquet.Options{Unmaintained: true})
	must(t, first.Write(t.Context(), events[:10]))
	second := openBucket(t, bucket, 1, parquet.Options{Unmaintained: true})
	must(t, second.Write(t.Context(), events[10:20]))
	for range 3 {
		err := first.Write(t.Context(), events[20:30])
		if !errors.Is(err, pillarbox.ErrUnavailable) || !strings.Contains(err.Error(), "another pillarbox has opened it since") {
			t.Fatalf("write of the first: %v", err)
		}
		before := len(bucket.Calls())
		for _, try := range []func(context.Context) error{first.Maintain, first.Check} {
			if err := try(t.Context()); !errors.Is(err, pillarbox.ErrUnavailable) {
				t.Errorf("the first goes on: %v", err)
			}
		}
		for _, op := range bucket.Calls()[before:] {
			if op.Changes() {
				t.Errorf("the first, which has lost the place: %s %s", op.Method, op.Key)
			}
		}
		must(t, second.Write(t.Context(), events[15:25]))
	}
	must(t, second.Close())
	must(t, first.Write(t.Context(), events[20:])) // the place is free
	if count, err := first.Count(t.Context()); err != nil || count != 40 {
		t.Errorf("%d events, %v", count, err)
	}
	must(t, first.Close())
}

// Two writers at once, at every point of a change of the one: what either has promised is there once, and
// nothing that either has uploaded in vain is left for who reads all files.
func TestTwoWritersAtOnce(t *testing.T) {
	moments, step := 0, setting.Fewer(1, 6)
	for at := 0; ; at += step {
		bucket := &fakes3.Bucket{}
		s := newStory(1)
		old := openBucket(t, bucket, 1, crashOptions())
		must(t, old.Write(t.Context(), s.events[:6]))
		must(t, old.Maintain(t.Context()))
		var other *parquet.Store
		var met atomic.Bool
		begun := len(bucket.Calls())
		bucket.After = func(op fakes3.Op) {
			if op.Index < begun+at || !met.CompareAndSwap(false, true) {
				return
			}
			moments++
			other = openBucket(t, bucket, 1, crashOptions())
			must(t, other.Write(t.Context(), s.events[3:9]))
			must(t, other.Maintain(t.Context()))
		}
		err := errors.Join(old.Write(t.Context(), s.events[5:]), old.Maintain(t.Context()))
		if other == nil { // the change is over before
			must(t, err)
			break
		}
		for _, e := range s.events {
			s.may[e.Key()] = true
		}
		must(t, other.Write(t.Context(), s.events))
		for _, e := range s.events {
			s.must[e.Key()] = true
		}
		if err := old.Maintain(t.Context()); !errors.Is(err, pillarbox.ErrUnavailable) { // it finds out, and cleans up
			t.Errorf("moment %d: the first writer goes on: %v", at, err)
		}
		must(t, other.Close())
		when := fmt.Sprintf("another writer behind call %d of a change", at)
		p := inBucket(t, bucket)
		s.holds(t, "the glob after the stop", when, keysOf(t, p.files, everyFile(t, p.files, "."), when))
		s.checkAt(t, p, when)
		_ = old.Close() // the place has other owners by now
	}
	if moments < 48/step {
		t.Errorf("only %d moments", moments)
	}
	t.Logf("%d moments", moments)
}

// A store that is closed while it uploads what it has put together takes that back, and gives the place
// back: who reads all files then is exact.
func TestCloseWhileFilesArePutTogether(t *testing.T) {
	for _, fault := range fakes3.Faults {
		bucket := &fakes3.Bucket{}
		s := newStory(3)
		store := openBucket(t, bucket, 1, crashOptions())
		for i, e := range s.events {
			s.may[e.Key()], s.must[e.Key()] = true, true
			must(t, store.Write(t.Context(), s.events[i:i+1]))
		}
		ctx, cancel := context.WithCancel(t.Context())
		bucket.Fault = func(op fakes3.Op) fakes3.Fault {
			if op.Method == http.MethodPut && strings.Contains(op.Key, "/source=") {
				cancel() // the server stops
				return fault
			}
			return fakes3.None
		}
		if err := store.Maintain(ctx); err == nil || ctx.Err() == nil {
			t.Fatalf("maintain: %v", err)
		}
		bucket.Fault = nil
		must(t, store.Close())
		p, when := inBucket(t, bucket), fmt.Sprintf("closed in an upload that ends with fault %d", fault)
		s.holds(t, "the glob after the stop", when, keysOf(t, p.files, everyFile(t, p.files, "."), when))
		if manifest := bucket.Objects()["events/_pillarbox/manifest.json"]; strings.Contains(string(manifest), `"writer"`) {
			t.Errorf("%s: the place is not given back", when)
		}
		s.checkAt(t, p, when)
	}
}

// What a batch costs in requests is told in docs/PARQUET.md.
func TestRequestsOfABatch(t *testing.T) {
	bucket := &fakes3.Bucket{}
	store := openBucket(t, bucket, 1, parquet.Options{Unmaintained: true})
	events := enginetest.Events(300, 99)
	for _, e := range events {
		e.Source = "app"
	}
	must(t, store.Write(t.Context(), events[:100]))
	before := len(bucket.Calls())
	must(t, store.Write(t.Context(), events[100:200]))
	puts, gets := 0, 0
	for _, op := range bucket.Calls()[before:] {
		if op.Method == http.MethodPut {
			puts++
		} else {
			gets++
		}
	}
	if puts != 3 || gets != 1 {
		t.Errorf("a batch of one source and hour takes %d PUTs and %d others, want 3 and 1", puts, gets)
	}
	must(t, store.Close())
}

// A place that has something else in it is refused, and left as it is; so is one whose bucket is not
// there.
func TestForeignBucketIsRefused(t *testing.T) {
	bucket := &fakes3.Bucket{}
	bucket.Put("events/photo.jpg", []byte("x"))
	bucket.Put("other/photo.jpg", []byte("x"))
	store := openBucket(t, bucket, 1, parquet.Options{Unmaintained: true})
	if err := store.Write(t.Context(), enginetest.Events(1, 1)); !errors.Is(err, pillarbox.ErrUnavailable) || !strings.Contains(err.Error(), "name an empty") {
		t.Errorf("write: %v", err)
	}
	for _, op := range bucket.Calls() {
		if op.Changes() {
			t.Errorf("%s %s", op.Method, op.Key)
		}
	}
	bucket.Remove("events/photo.jpg")
	must(t, store.Write(t.Context(), enginetest.Events(1, 1)))
	must(t, store.Close())
}

// Unfinished files of a process that was killed are removed from the machine by the next one, and what is
// put into the bucket is not kept here.
func TestNothingStaysOnTheMachine(t *testing.T) {
	scratch := t.TempDir()
	left := filepath.Join(scratch, "_pillarbox%2Ftmp%2Fleft.tmp")
	must(t, os.WriteFile(left, []byte("x"), 0o600))
	bucket := &fakes3.Bucket{}
	store := parquet.OpenBucket("s3://bucket/events", func() (parquet.Bucket, error) {
		return s3.OpenTree(client(bucket, 1), fakes3.Name, "events", "", scratch)
	}, parquet.Options{Unmaintained: true})
	must(t, store.Write(t.Context(), enginetest.Events(50, 1)))
	must(t, store.Maintain(t.Context()))
	entries, err := os.ReadDir(scratch)
	if err != nil || len(entries) > 0 {
		t.Errorf("%v is on the machine, %v", entries, err)
	}
	must(t, store.Close())
}
