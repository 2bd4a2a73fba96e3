package crash_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"pillarbox/internal/ledger"
	"pillarbox/test/harness"
)

// An image has room for what all cuts may leave, and xfs wants 300 MB in any case. It is sparse.
const (
	imageBytes       = 512 << 20
	imageBytesPerCut = 1 << 20
)

// unmountBound is how long the kernel may hold a file system whose only user has been killed.
const unmountBound = 20 * time.Second

// mutantCuts is how many cuts a planted bug is given to lose an event.
const mutantCuts = 8

// TestAckedEventSurvivesPowerCut cuts the power of a real file system under the real binary, at random moments
// under load, many times on one data directory. In the end every event that a client has a receipt for is stored
// once with its own bytes, nothing is stored twice, and the audit balances.
//
// What the file system has not flushed is gone after a cut: this is the test of syncing that a killed process
// can not be. The disk below the file system is an image that is kept whole: a disk that loses or reorders what
// it has been given before a flush is not tested here.
func TestAckedEventSurvivesPowerCut(t *testing.T) {
	cuts, rng := powerCuts(t)
	d := newDisk(t, fileSystem(), imageBytes+int64(cuts)*imageBytesPerCut)
	data := filepath.Join(d.dir, "data")
	c := harness.NewClients()
	done := map[string]int{}
	for n := range cuts {
		l := drawLife(n, rng)
		s := harness.Start(t, data, l.args...)
		d.cutAfter(s, c, l)
		done[l.kind]++
	}
	t.Logf("%s: %d cuts, by kind of life: %v", d.fs, d.cuts, done)
	if d.cuts != cuts {
		t.Errorf("%d cuts instead of %d", d.cuts, cuts)
	}
	if c.Acked() < cuts*minAckedPerCycle {
		t.Errorf("only %d events were acknowledged before %d cuts", c.Acked(), cuts)
	}
	s := harness.Start(t, data)
	entry := s.WaitUntil("everything is delivered", nothingPending)
	if !entry.Balanced || entry.Dead != 0 || entry.Damaged != 0 || entry.Stored < uint64(c.Acked()) {
		t.Errorf("ledger %+v for %d acknowledged events", entry, c.Acked())
	}
	s.Stop()
	if out, _, code := harness.Run(t, "audit", "--data", data); code != 0 {
		t.Errorf("audit exits with %d:\n%s", code, out)
	}
	c.Check(t, data)
}

// TestPowerCutFindsPlantedBugs cuts the power under builds that acknowledge or forget an event too early. What
// they leave is opened with the real binary, and each of them must have lost an acknowledged event: otherwise
// the test above would not notice such a bug either.
func TestPowerCutFindsPlantedBugs(t *testing.T) {
	bugs := []struct {
		harness.Mutant
		kind string
	}{
		{harness.NothingSynced, acceptOnly},
		{harness.AckBeforeSync, acceptOnly},
		{harness.TrimBeforeStoreIsDurable, rested},
	}
	for _, bug := range bugs {
		t.Run(bug.Name, func(t *testing.T) {
			_, rng := powerCuts(t)
			mutant := bug.Binary(t)
			d := newDisk(t, fileSystem(), imageBytes+mutantCuts*imageBytesPerCut)
			acked, lost, refused := 0, 0, 0
			for n := range mutantCuts {
				c := harness.NewClients()
				data := filepath.Join(d.dir, fmt.Sprintf("data-%d", n))
				l := newLife(bug.kind, rng)
				// Of its first files a log without syncs leaves so little that the next start is refused. An
				// earlier life leaves files that are whole, and the bug is on its own.
				harness.Start(t, data).Stop()
				s, err := harness.StartBinary(t, mutant, data, l.args...)
				if err != nil {
					t.Fatal(err)
				}
				d.cutAfter(s, c, l)
				// A refused start is no loss yet: the events may still be in the log.
				if s, err = harness.StartBinary(t, harness.Binary(), data); err != nil {
					refused++
					t.Logf("after cut %d: %v", n+1, err)
					continue
				}
				s.WaitUntil("everything is delivered", nothingPending)
				s.Stop()
				result := c.Compare(t, data)
				acked, lost = acked+result.Acked, lost+len(result.Lost)
			}
			t.Logf("%s: %d cuts, %d acknowledged, %d lost, %d starts refused", d.fs, d.cuts, acked, lost, refused)
			if lost == 0 {
				t.Errorf("the planted bug was not found in %d cuts", d.cuts)
			}
		})
	}
}

func nothingPending(e ledger.Entry) bool { return e.Pending == 0 }

// powerCuts returns the number of cuts that was asked for, and skips the test if none was.
func powerCuts(t *testing.T) (int, *rand.Rand) {
	t.Helper()
	cuts := setting(t, "PILLARBOX_POWERCUTS", 0)
	if cuts <= 0 {
		t.Skip("needs root, loop devices and mkfs: set PILLARBOX_POWERCUTS to the number of cuts, or run make powercut")
	}
	if os.Geteuid() != 0 {
		t.Fatal("power cuts need root: they make and mount a file system")
	}
	seed := uint64(setting(t, "PILLARBOX_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("%d cuts, seed %d (PILLARBOX_SEED)", cuts, seed)
	return cuts, rand.New(rand.NewPCG(seed, 0))
}

func fileSystem() string {
	if name := os.Getenv("PILLARBOX_POWERCUT_FS"); name != "" {
		return name
	}
	return "ext4"
}

// The kinds of life that end in a cut. A life that delivers holds few events in the log alone, so some only
// accept. Delivered events are forgotten durably after about a second, so some rest that long before the cut: a
// database that is synced too late loses nothing earlier, and under load its checkpoints would hide the bug.
const (
	busy       = "busy"
	acceptOnly = "accept only"
	rested     = "rested"
)

type life struct {
	kind  string
	load  time.Duration
	rests time.Duration // without load, before the cut
	args  []string
}

// drawLife leaves the kind to chance, except that every tenth life rests: those are slow, and one must be there.
func drawLife(n int, rng *rand.Rand) life {
	switch {
	case n%10 == 5:
		return newLife(rested, rng)
	case rng.IntN(2) == 0:
		return newLife(acceptOnly, rng)
	default:
		return newLife(busy, rng)
	}
}

func newLife(kind string, rng *rand.Rand) life {
	l := life{kind: kind, load: time.Duration(20+rng.IntN(281)) * time.Millisecond}
	switch kind {
	case acceptOnly:
		l.args = []string{"--roles", "accept,admin"}
	case rested:
		l.rests = time.Duration(1200+rng.IntN(300)) * time.Millisecond
	}
	return l
}

// disk is a file system in an image, and its mount.
type disk struct {
	t       *testing.T
	fs      string
	image   string
	dir     string // where it is mounted
	mounted bool
	cuts    int
}

// newDisk makes a file system and mounts it. A test that fails keeps its image as evidence.
func newDisk(t *testing.T, fs string, size int64) *disk {
	t.Helper()
	base, err := os.MkdirTemp("", "pillarbox-powercut-")
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{t: t, fs: fs, image: filepath.Join(base, "image"), dir: filepath.Join(base, "mount")}
	t.Cleanup(func() {
		switch {
		case !d.unmount(): // nothing may be removed below a mount
		case t.Failed():
			t.Logf("the image is kept: %s", d.image)
		default:
			if err := os.RemoveAll(base); err != nil {
				t.Error(err)
			}
		}
	})
	if err := errors.Join(os.WriteFile(d.image, nil, 0o600), os.Truncate(d.image, size), os.Mkdir(d.dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	switch fs {
	case "ext4":
		// Without this the kernel goes on making the file system after each mount.
		d.run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", d.image)
	case "xfs":
		d.run("mkfs.xfs", "-q", "-f", d.image)
	default:
		t.Fatalf("PILLARBOX_POWERCUT_FS=%q: want ext4 or xfs", fs)
	}
	d.mount()
	return d
}

func (d *disk) run(name string, args ...string) {
	d.t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		d.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// mount attaches a loop device that goes away with the mount.
func (d *disk) mount() {
	d.t.Helper()
	d.run("mount", "-t", d.fs, "-o", "loop", d.image, d.dir)
	d.mounted = true
}

// unmount waits while the kernel still works for the process that was killed.
func (d *disk) unmount() bool {
	d.t.Helper()
	if !d.mounted {
		return true
	}
	deadline := time.Now().Add(unmountBound)
	for {
		err := syscall.Unmount(d.dir, 0)
		if err == nil {
			d.mounted = false
			return true
		}
		if !errors.Is(err, syscall.EBUSY) || time.Now().After(deadline) {
			d.t.Errorf("unmount %s: %v", d.dir, err)
			return false
		}
		<-time.After(5 * time.Millisecond)
	}
}

// cutAfter has clients post to a server, cuts the power, and mounts what is left.
func (d *disk) cutAfter(s *harness.Server, c *harness.Clients, l life) {
	d.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.Load(ctx, s.Public+"/app", 8)
	}()
	<-time.After(l.load)
	if l.rests > 0 {
		cancel()
		<-done
		<-time.After(l.rests)
	}
	// A sync that runs while the file system goes down may return success for nothing. A process without power
	// would not have seen that, so it must have stopped before.
	s.Freeze()
	d.shutDown()
	cancel() // first, or the clients would knock at a closed port
	s.Kill()
	<-done
	if !d.unmount() {
		d.t.FailNow()
	}
	d.mount()
	d.cuts++
}

// The request of linux/fs.h, which xfs knows as XFS_IOC_GOINGDOWN under the same number. The flag forbids to
// flush anything, the journal included.
const (
	ioctlShutdown = 0x8004587d
	noLogFlush    = 2
)

// shutDown ends the file system: what is not on the disk by now never will be.
func (d *disk) shutDown() {
	d.t.Helper()
	dir, err := os.Open(d.dir)
	if err != nil {
		d.t.Fatal(err)
	}
	defer dir.Close()
	flag := uint32(noLogFlush)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), ioctlShutdown, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		d.t.Fatalf("shut down %s: %v", d.dir, errno)
	}
	// A shutdown that did nothing would make every cut a success.
	if err := os.WriteFile(filepath.Join(d.dir, "probe"), nil, 0o600); !errors.Is(err, syscall.EIO) {
		d.t.Fatalf("a file can be made after the cut: %v", err)
	}
}
