package keyindex

import (
	"bytes"
	"context"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/atrest/atresttest"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// TestSealedRuns: keys are found in runs that are sealed, plain, and merged of both; no part of one is
// in a sealed file in the clear.
func TestSealedRuns(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	seals := atresttest.Open(t, disk)
	opens, err := atrest.Open(context.Background(), disk,
		atrest.Options{OldKeys: []atrest.KeyEncryption{atresttest.Key(t)}})
	if err != nil {
		t.Fatal(err)
	}
	m := newModel(t, disk, Options{Window: time.Hour, MaxKeys: 10_000, Table: 100, AtRest: seals})
	for life := range 4 {
		for n := range 300 {
			m.accept(keyOf(life*1000 + n))
		}
		if err := m.index.Close(); err != nil {
			t.Fatal(err)
		}
		if life < 2 {
			noKeyIsIn(t, disk)
		}
		if m.opts.AtRest = seals; life%2 == 1 {
			m.opts.AtRest = opens
		}
		m.open()
		m.check()
		if n := m.index.KeyStats().Damaged; n != 0 {
			t.Errorf("life %d: %d are damaged", life, n)
		}
	}
}

func noKeyIsIn(t *testing.T, disk vfs.FS) {
	t.Helper()
	entries, err := disk.ReadDir("queue/keys")
	if err != nil || len(entries) == 0 {
		t.Fatal(entries, err)
	}
	for _, entry := range entries {
		content, err := vfs.ReadFile(disk, "queue/keys/"+entry.Name, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 300 {
			if key := keyOf(n).Idempotency.Key; bytes.Contains(content, key[:8]) {
				t.Fatalf("%s has the beginning of key %d in the clear", entry.Name, n)
			}
		}
	}
}

// TestKeysWaitForTheirDataKey: a run that can't be opened stays as it is, and is told.
func TestKeysWaitForTheirDataKey(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	m := newModel(t, disk, Options{Table: 100, AtRest: atresttest.Open(t, disk)})
	for n := range 300 {
		m.accept(keyOf(n))
	}
	if err := m.index.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := disk.Names("queue/keys")
	if err != nil {
		t.Fatal(err)
	}
	without, err := Open(disk, "queue/keys", Options{})
	if err != nil || without.KeyStats().Damaged == 0 {
		t.Fatalf("without the data key: %v", err)
	}
	if err := without.Close(); err != nil {
		t.Fatal(err)
	}
	m.open()
	if state := claim(m.index, keyOf(7)).State; state != pillarbox.KeyDone {
		t.Errorf("a key is %v when the data key is back; the files were %v", state, before)
	}
}
