package quarantine_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"syscall"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/atrest/atresttest"
	"pillarbox/internal/quarantine"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

func open(t *testing.T, fsys vfs.FS, opts quarantine.Options) *quarantine.Store {
	t.Helper()
	s, err := quarantine.Open(fsys, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

const secret = "whsec_canary"

// request makes the n-th request, as it came and as it is shown.
func request(n int) (*pillarbox.Event, *quarantine.Raw) {
	id := fmt.Sprintf("01a20982-735b-7980-86a3-%012d", n)
	event := &pillarbox.Event{RequestID: id, Timestamp: pillarbox.Timestamp(1_795_455_873_000_000 + n), Source: "hook", Method: "POST", Path: "/hook",
		Header: pillarbox.Header{{Name: "Content-Type", Value: "text/plain"}}, Body: []byte("shown")}
	raw := &quarantine.Raw{Method: "POST", Path: "/hook", Query: "a=\xff", Caller: "shop", Attributes: pillarbox.Attributes{{Name: "tenant", Value: "a"}},
		Header: pillarbox.Header{{Name: "X-Gitlab-Token", Value: secret}, {Name: "B", Value: "\xfe"}, {Name: "A", Value: "1"}},
		Body:   []byte("as it came\x00\xff"), ContentType: "text/plain", RemoteAddr: "192.0.2.1"}
	return event, raw
}

func put(t *testing.T, s *quarantine.Store, n int) string {
	t.Helper()
	event, raw := request(n)
	if err := s.Put(t.Context(), event, "mismatch", raw); err != nil {
		t.Fatal(err)
	}
	return event.RequestID
}

func TestWhatIsKeptComesOutAsItCame(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	s := open(t, disk, quarantine.Options{})
	id := put(t, s, 1)
	_, wanted := request(1)
	for _, life := range []string{"this life", "the next life"} {
		entry, err := s.Get(id)
		if err != nil || entry.Reason != "mismatch" || string(entry.Event.Body) != "shown" {
			t.Fatalf("%s: %+v, %v", life, entry, err)
		}
		keep := errors.New("not yet")
		err = s.Decide(id, quarantine.Released, func(_ *quarantine.Entry, raw *quarantine.Raw) error {
			if fmt.Sprintf("%+v", raw) != fmt.Sprintf("%+v", wanted) {
				t.Errorf("%s: it comes out as %+v, and came as %+v", life, raw, wanted)
			}
			if err := s.Discard(id); !errors.Is(err, pillarbox.ErrConflict) {
				t.Errorf("somebody else has decided meanwhile: %v", err)
			}
			return keep
		})
		if !errors.Is(err, keep) || !s.Has(id) {
			t.Errorf("%s: what was not accepted is gone: %v", life, err)
		}
		s = open(t, disk, quarantine.Options{})
	}
	if err := s.Decide(id, quarantine.Released, func(*quarantine.Entry, *quarantine.Raw) error { return nil }); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{s.Discard(id), func() error { _, err := s.Get(id); return err }()} {
		if !errors.Is(err, pillarbox.ErrNotFound) {
			t.Errorf("what was released is there: %v", err)
		}
	}
	if stats := s.Stats(); stats.Entries != 0 || stats.Bytes != 0 || stats.Released != 1 {
		t.Errorf("%+v", stats)
	}
}

// TestNoFileHasASecret: what is sealed stands nowhere in the clear, in base64 neither.
func TestNoFileHasASecret(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	put(t, open(t, disk, quarantine.Options{}), 1)
	names, err := disk.Names(quarantine.Directory)
	if err != nil || len(names) != 2 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		text, err := vfs.ReadFile(disk, path.Join(quarantine.Directory, name), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, not := range []string{secret, "as it came", "d2hzZWNfY2FuYXJ5", "YXMgaXQgY2FtZ"} {
			if bytes.Contains(text, []byte(not)) {
				t.Errorf("%s has %q", name, not)
			}
		}
	}
}

// TestTheDiskIsNotFilled: neither beyond a limit nor beyond what the disk is to have free.
func TestTheDiskIsNotFilled(t *testing.T) {
	s := open(t, faultfs.New(faultfs.Options{}), quarantine.Options{Limits: quarantine.Limits{MaxEntries: 2}})
	put(t, s, 1)
	first := put(t, s, 2)
	event, raw := request(3)
	if err := s.Put(t.Context(), event, "missing", raw); !errors.Is(err, pillarbox.ErrFull) || s.HasRoom() {
		t.Errorf("a third one of two: %v", err)
	}
	if err := s.Discard(first); err != nil || !s.HasRoom() {
		t.Errorf("no room for another one: %v", err)
	}
	put(t, s, 3)

	s.SetLimits(quarantine.Limits{MaxBytes: s.Stats().Bytes + 100})
	event, raw = request(4)
	if err := s.Put(t.Context(), event, "missing", raw); !errors.Is(err, pillarbox.ErrFull) {
		t.Errorf("beyond the bytes: %v", err)
	}

	disk := faultfs.New(faultfs.Options{})
	s = open(t, disk, quarantine.Options{})
	put(t, s, 1)
	disk.Inject(func(op faultfs.Op) error {
		if op.Kind == faultfs.Write {
			return syscall.ENOSPC
		}
		return nil
	})
	if err := s.Put(t.Context(), event, "missing", raw); !errors.Is(err, pillarbox.ErrFull) {
		t.Errorf("on a full disk: %v", err)
	}
	disk.Inject(nil)
	if stats := s.Stats(); stats.Entries != 1 || s.Has(event.RequestID) {
		t.Errorf("after a full disk: %+v", stats)
	}
	before := s.Stats().Bytes
	put(t, s, 5)
	if s.Stats().Bytes != 2*before {
		t.Errorf("two have %d bytes, one %d", s.Stats().Bytes, before)
	}
}

// TestAgeIsTimeThatPasses: whatever the date, and over lives.
func TestAgeIsTimeThatPasses(t *testing.T) {
	disk, now := faultfs.New(faultfs.Options{}), time.Hour
	opts := quarantine.Options{Limits: quarantine.Limits{MaxAge: 24 * time.Hour}, Elapsed: func() time.Duration { return now }}
	s := open(t, disk, opts)
	put(t, s, 1)
	now += 20 * time.Hour
	put(t, s, 2)
	s = open(t, disk, opts)
	if n := s.Expire(t.Context()); n != 0 {
		t.Errorf("%d are deleted before their time", n)
	}
	now += 4 * time.Hour
	if n := s.Expire(t.Context()); n != 1 || s.Stats().Entries != 1 || s.Stats().Expired != 1 {
		t.Errorf("%d are deleted of 1, %+v", n, s.Stats())
	}
	now = 0 // what counts it is lost
	if n := s.Expire(t.Context()); n != 0 {
		t.Errorf("%d are deleted because the time was lost", n)
	}
}

func TestPagesHaveEachOnce(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	s := open(t, disk, quarantine.Options{})
	var ids []string
	for n := range 7 {
		ids = append(ids, put(t, s, n))
	}
	if err := vfs.WriteFile(disk, path.Join(quarantine.Directory, ids[3]+".json"), []byte("{")); err != nil {
		t.Fatal(err)
	}
	var got, broken []string
	for after := ""; ; {
		page, err := s.List(t.Context(), quarantine.Filter{After: after, Limit: 2, Source: "hook"})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Entries {
			got = append(got, e.Event.RequestID)
		}
		broken = append(broken, page.Unreadable...)
		if after = page.Next; after == "" {
			break
		}
	}
	wanted := append(append([]string{}, ids[:3]...), ids[4:]...)
	if strings.Join(got, " ") != strings.Join(wanted, " ") || len(broken) != 1 || !strings.Contains(broken[0], ids[3]) {
		t.Errorf("got %q and %q", got, broken)
	}
	if page, err := s.List(t.Context(), quarantine.Filter{Limit: 10, Source: "other"}); err != nil || len(page.Entries) != 0 {
		t.Errorf("of another source: %+v, %v", page, err)
	}
	if _, err := s.Get(ids[3]); !errors.Is(err, pillarbox.ErrCorrupt) {
		t.Errorf("a broken one: %v", err)
	}
	if err := s.Discard(ids[3]); err != nil {
		t.Errorf("a broken one can't be discarded: %v", err)
	}
}

// TestSealsAreOfOneRequest: what is sealed beside one event opens beside no other, and by no other key.
func TestSealsAreOfOneRequest(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	s := open(t, disk, quarantine.Options{})
	id := put(t, s, 1)
	name := path.Join(quarantine.Directory, id+".json")
	text, err := vfs.ReadFile(disk, name, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	decide := func() error {
		return open(t, disk, quarantine.Options{}).Decide(id, quarantine.Released, func(*quarantine.Entry, *quarantine.Raw) error { return nil })
	}
	if err := vfs.WriteFile(disk, name, bytes.Replace(text, []byte(`"hook"`), []byte(`"soft"`), 1)); err != nil {
		t.Fatal(err)
	}
	if err := decide(); !errors.Is(err, pillarbox.ErrCorrupt) {
		t.Errorf("with another source: %v", err)
	}
	if err := errors.Join(vfs.WriteFile(disk, name, text), disk.Remove(path.Join(quarantine.Directory, "key"))); err != nil {
		t.Fatal(err)
	}
	if err := decide(); !errors.Is(err, pillarbox.ErrCorrupt) || !strings.Contains(err.Error(), "sealed with the key") {
		t.Errorf("by another key: %v", err)
	}
}

// TestPowerCuts: what was acknowledged is there and can be unsealed, what was decided is not, whatever
// else is lost.
func TestPowerCuts(t *testing.T) {
	cuts := 0
	for seed := uint64(1); seed <= 8; seed++ {
		random := rand.New(rand.NewPCG(seed, 1))
		disk := faultfs.New(faultfs.Options{})
		must, may := map[string]bool{}, map[string]bool{} // ids
		disk.After(func(op faultfs.Op, _ error) {
			if op.Kind == faultfs.Read || op.Kind == faultfs.ReadDir {
				return
			}
			for _, mode := range []faultfs.Mode{faultfs.Dropped, faultfs.Modes[random.IntN(len(faultfs.Modes))]} {
				cuts++
				left := disk.Crash(random, mode)
				after, err := quarantine.Open(left, quarantine.Options{})
				if err != nil {
					t.Fatal(err)
				}
				page, err := after.List(context.Background(), quarantine.Filter{Limit: 100})
				if err != nil || len(page.Unreadable) > 0 {
					t.Fatalf("seed %d, after %v, %v: %v, %q", seed, op, mode, err, page.Unreadable)
				}
				there := map[string]bool{}
				for _, e := range page.Entries {
					id := e.Event.RequestID
					if there[id] = true; !may[id] {
						t.Fatalf("seed %d, after %v, %v: %s is there", seed, op, mode, id)
					}
					if err := after.Decide(id, quarantine.Released, func(_ *quarantine.Entry, raw *quarantine.Raw) error { return nil }); err != nil {
						t.Fatalf("seed %d, after %v, %v: %s: %v", seed, op, mode, id, err)
					}
				}
				for id := range must {
					if !there[id] {
						t.Fatalf("seed %d, after %v, %v: the acknowledged request %s is gone", seed, op, mode, id)
					}
				}
				if err := after.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
		now := time.Duration(0)
		s, err := quarantine.Open(disk, quarantine.Options{Elapsed: func() time.Duration { return now }})
		if err != nil {
			t.Fatal(err)
		}
		for n := range 6 {
			event, raw := request(n)
			may[event.RequestID] = true
			if err := s.Put(context.Background(), event, "mismatch", raw); err != nil {
				t.Fatal(err)
			}
			must[event.RequestID] = true
		}
		for n, decide := range []func(id string) error{s.Discard, func(id string) error {
			return s.Decide(id, quarantine.Released, func(*quarantine.Entry, *quarantine.Raw) error { return nil })
		}, func(string) error {
			now = 1000 * time.Hour
			if n := s.Expire(context.Background()); n != 4 {
				return fmt.Errorf("%d are expired, of 4", n)
			}
			return nil
		}} {
			event, _ := request(n)
			delete(must, event.RequestID)
			if n == 2 {
				clear(must)
			}
			if err := decide(event.RequestID); err != nil {
				t.Fatal(err)
			}
			if delete(may, event.RequestID); n == 2 {
				clear(may)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if cuts < 300 {
		t.Errorf("only %d cuts", cuts)
	}
}

// TestAHangingDiskIsTold: a sender gets its answer in time, and what the disk makes of it later is
// there.
func TestAHangingDiskIsTold(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	s := open(t, disk, quarantine.Options{Timeout: time.Millisecond})
	answer := make(chan struct{})
	disk.Inject(func(op faultfs.Op) error {
		if op.Kind == faultfs.Sync && strings.Contains(op.Name, "01a20982") {
			<-answer
		}
		return nil
	})
	event, raw := request(1)
	if err := s.Put(t.Context(), event, "missing", raw); !errors.Is(err, pillarbox.ErrUnknown) {
		t.Errorf("while the disk hangs: %v", err)
	}
	close(answer)
	if err := s.Close(); err != nil || !s.Has(event.RequestID) {
		t.Errorf("what the disk has taken in the end is not there: %v", err)
	}
}

// TestWholeFilesAreSealed: with encryption at rest the files tell not even what may be shown.
func TestWholeFilesAreSealed(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	opts := quarantine.Options{AtRest: atresttest.Open(t, disk)}
	id := put(t, open(t, disk, opts), 1)
	text, err := vfs.ReadFile(disk, path.Join(quarantine.Directory, id+".json"), 1<<20)
	if err != nil || !atrest.IsDocument(text) || bytes.Contains(text, []byte("mismatch")) {
		t.Errorf("%.200s, %v", text, err)
	}
	entry, err := open(t, disk, opts).Get(id)
	if err != nil || entry.Reason != "mismatch" || string(entry.Event.Body) != "shown" {
		t.Errorf("%+v, %v", entry, err)
	}
	var absent *atrest.NoKeyError
	if _, err := open(t, disk, quarantine.Options{}).Get(id); !errors.As(err, &absent) || errors.Is(err, pillarbox.ErrCorrupt) {
		t.Errorf("without the data key: %v", err)
	}
}
