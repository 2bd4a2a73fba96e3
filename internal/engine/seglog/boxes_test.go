package seglog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/atrest/atresttest"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// sealing is small, with what is written sealed.
func sealing(t testing.TB, fsys vfs.FS) seglog.Options {
	options := small()
	options.AtRest = atresttest.Open(t, fsys)
	return options
}

func TestKeepsTheContractSealed(t *testing.T) {
	enginetest.Queue(t, func(t *testing.T, now func() time.Time) pillarbox.Queue {
		fsys := faultfs.New(faultfs.Options{})
		options := sealing(t, fsys)
		options.Now = now
		return openLog(t, fsys, options)
	})
}

func TestKeepsTheContractSealedAndOpenedAgain(t *testing.T) {
	enginetest.QueueDurable(t, func(t *testing.T) func() pillarbox.Queue {
		fsys := faultfs.New(faultfs.Options{})
		return func() pillarbox.Queue { return openLog(t, fsys, sealing(t, fsys)) }
	})
}

// TestNothingIsInTheClear: of what clients send, and of what destinations say, no file has a word; not
// the segments, nor the delivery state, nor the index of keys.
func TestNothingIsInTheClear(t *testing.T) {
	const secret = "the-word-that-nobody-may-read"
	fsys := faultfs.New(faultfs.Options{})
	options := sealing(t, fsys)
	options.KeyTable = 2 // keys go to files at once
	log := openLog(t, fsys, options)
	if _, err := log.Account("events"); err != nil {
		t.Fatal(err)
	}
	var events []*pillarbox.Event
	for i := range 8 {
		events = append(events, &pillarbox.Event{
			Timestamp: pillarbox.TimestampOf(time.Now()), RequestID: fmt.Sprintf("%s-%d", secret, i), Source: secret,
			Method: secret, Path: "/" + secret, Query: secret, ContentType: secret, RemoteAddr: secret,
			Header: pillarbox.Header{{Name: secret, Value: secret}}, Body: []byte(secret),
			Facts:       &pillarbox.Facts{Caller: secret},
			Idempotency: pillarbox.Idempotency{Key: [16]byte([]byte(secret)), Fingerprint: uint64(i) + 1},
		})
		events[i].Idempotency.Key[15] = byte(i)
	}
	if err := log.Append(context.Background(), events); err != nil {
		t.Fatal(err)
	}
	deliveries, err := log.Lease(context.Background(), "events", pillarbox.LeaseLimits{MaxEvents: 4})
	if err != nil {
		t.Fatal(err)
	}
	var outcomes []pillarbox.Outcome
	for _, d := range deliveries {
		outcomes = append(outcomes, pillarbox.Outcome{Handle: d.Handle, Kind: pillarbox.OutcomeRetry,
			NotBefore: time.Now().Add(time.Hour), Attempt: &pillarbox.Attempt{Error: secret}})
	}
	if err := log.Settle(context.Background(), "events", outcomes); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	files := 0
	for name, content := range everyFile(t, fsys, ".") {
		files++
		if bytes.Contains(content, []byte(secret)) || bytes.Contains(content, []byte(secret)[:12]) {
			t.Errorf("%s has it in the clear", name)
		}
	}
	keys, _ := fsys.ReadDir("queue/keys")
	if files < 5 || len(keys) == 0 {
		t.Errorf("only %d files were looked at, %d of them with keys", files, len(keys))
	}
	// and all of it is there for who has the key
	log = openLog(t, fsys, sealing(t, fsys))
	defer log.Close()
	account, err := log.Account("events")
	if err != nil || account.Retrying != 4 || account.Pending != 8 {
		t.Errorf("account %+v, %v", account, err)
	}
}

func everyFile(t *testing.T, fsys vfs.FS, dir string) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name)
		if entry.Dir {
			for name, content := range everyFile(t, fsys, name) {
				files[name] = content
			}
			continue
		}
		if files[name], err = vfs.ReadFile(fsys, name, 1<<30); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestEncryptionComesAndGoes over lives that are killed: whatever the life before has sealed or not,
// and whatever of it was not proven to be on the disk, comes in order, once.
func TestEncryptionComesAndGoes(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	var want []string
	for life := range 8 {
		options := sealing(t, disk)
		if life%2 == 1 {
			options.AtRest = readingKeys(t, disk)
		}
		log := openLog(t, disk, options)
		if _, err := log.Account("events"); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			events := enginetest.Events(2, uint64(life*10+len(want)))
			if err := log.Append(context.Background(), events); err != nil {
				t.Fatal(err)
			}
			want = append(want, events[0].RequestID, events[1].RequestID)
		}
		killed := disk.Kill()
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
		disk = killed
	}
	log := openLog(t, disk, sealing(t, disk))
	defer log.Close()
	deliveries, err := leaseAll(log)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, d := range deliveries {
		got = append(got, d.Event.RequestID)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %d events, want %d in order", len(got), len(want))
	}
}

// readingKeys open what is sealed, and seal nothing.
func readingKeys(t *testing.T, fsys vfs.FS) *atrest.Keys {
	t.Helper()
	keys, err := atrest.Open(context.Background(), fsys,
		atrest.Options{OldKeys: []atrest.KeyEncryption{atresttest.Key(t)}})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// sealedLog appends events in two lives with different data keys, and returns the id of the first.
func sealedLog(t *testing.T) (disk *faultfs.FS, first atrest.ID, ids []string) {
	t.Helper()
	disk = faultfs.New(faultfs.Options{})
	for life := range 2 {
		now := time.Now().Add(time.Duration(life) * 48 * time.Hour)
		keys, err := atrest.Open(context.Background(), disk,
			atrest.Options{Key: atresttest.Key(t), Now: func() time.Time { return now }})
		if err != nil {
			t.Fatal(err)
		}
		options := small()
		options.AtRest = keys
		if life == 0 {
			first = keys.List()[0].ID
		}
		log := openLog(t, disk, options)
		if _, err := log.Account("events"); err != nil {
			t.Fatal(err)
		}
		events := enginetest.Events(3, uint64(life))
		for _, event := range events {
			ids = append(ids, event.RequestID)
		}
		if err := log.Append(context.Background(), events); err != nil {
			t.Fatal(err)
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return disk, first, ids
}

// hide moves the files of a data key away, and back.
func hide(t *testing.T, disk vfs.FS, id atrest.ID, away bool) {
	t.Helper()
	for copy := range 2 {
		name, aside := fmt.Sprintf("%s/%s.%d.json", atrest.Directory, id, copy), fmt.Sprintf("%s.%d.aside", id, copy)
		if !away {
			name, aside = aside, name
		}
		if err := disk.Rename(name, aside); err != nil {
			t.Fatal(err)
		}
	}
}

// TestEventsWaitForTheirDataKey: those that are sealed with a data key that is not there are counted
// as damaged, named, kept, and come by themselves once it is there again; all others come at once.
func TestEventsWaitForTheirDataKey(t *testing.T) {
	disk, first, ids := sealedLog(t)
	// The state is sealed with the newer one: each start writes it anew.
	hide(t, disk, first, true)
	log := openLog(t, disk, sealing(t, disk))
	deliveries, err := leaseAll(log)
	if err != nil {
		t.Fatal(err)
	}
	if len(deliveries) != 3 || deliveries[0].Event.RequestID != ids[3] {
		t.Fatalf("%d events came, want the 3 of the second life", len(deliveries))
	}
	settleAll(t, log, deliveries)
	account, err := log.Account("events")
	if err != nil || account.Damaged != 3 || account.Unread != 3 || account.Stored != 3 {
		t.Errorf("account %+v, %v", account, err)
	}
	if damage := log.Stats().Damage; len(damage) == 0 || !strings.Contains(damage[0].Reason, first.String()) {
		t.Errorf("the damage does not name the data key: %v", damage)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	hide(t, disk, first, false)
	options := sealing(t, disk)
	options.ManualMaintenance = true
	log = openLog(t, disk, options)
	defer log.Close()
	log.Maintain()
	deliveries, err = leaseAll(log)
	if err != nil {
		t.Fatal(err)
	}
	if len(deliveries) != 3 || deliveries[0].Event.RequestID != ids[0] {
		t.Errorf("%d events came back with their data key, want 3", len(deliveries))
	}
	settleAll(t, log, deliveries)
	if account, err = log.Account("events"); err != nil || account.Damaged != 0 || account.Stored != 6 {
		t.Errorf("account %+v, %v", account, err)
	}
}

// TestVerifyNeedsNoKey, finds rot all the same, and reads everything with the keys.
func TestVerifyNeedsNoKey(t *testing.T) {
	disk, _, _ := sealedLog(t)
	result, err := seglog.Verify(t.Context(), disk, nil, "queue", func(*pillarbox.Event) error {
		return errors.New("an event was opened without a key")
	})
	if err != nil || result.Events != 6 || result.Sealed != 6 || result.Lost != 0 || len(result.Damage) != 0 {
		t.Errorf("without keys: %+v, %v", result, err)
	}
	visited := 0
	result, err = seglog.Verify(t.Context(), disk, readingKeys(t, disk), "queue", func(*pillarbox.Event) error {
		visited++
		return nil
	})
	if err != nil || visited != 6 || result.Sealed != 0 {
		t.Errorf("with keys: %+v, %d visited, %v", result, visited, err)
	}
	rotten := disk.Crash(nil, faultfs.Dropped)
	if err := rotten.Flip(segments(t, rotten)[0], 1024+64+100, 3); err != nil {
		t.Fatal(err)
	}
	result, err = seglog.Verify(t.Context(), rotten, nil, "queue", nil)
	if err != nil || result.Lost != 1 || len(result.Damage) == 0 {
		t.Errorf("rot, without keys: %+v, %v", result, err)
	}
}

// TestRepairOfASealedLog: without the keys the sound records are kept in their boxes, and nothing is
// exported in the clear; with them the export is sealed.
func TestRepairOfASealedLog(t *testing.T) {
	for _, with := range []bool{false, true} {
		t.Run(fmt.Sprintf("keys %v", with), func(t *testing.T) {
			disk, _, ids := sealedLog(t)
			if err := disk.Flip(segments(t, disk)[0], 1024+64+100, 3); err != nil {
				t.Fatal(err)
			}
			var keys *atrest.Keys
			if with {
				keys = atresttest.Open(t, disk)
			}
			result, err := seglog.Repair(t.Context(), disk, keys, "queue")
			if !with {
				// the states can't be looked at, and it says so, after the segments are mended
				if !errors.Is(err, pillarbox.ErrUnavailable) || len(result.Segments) != 1 || result.Segments[0].Events != 0 {
					t.Fatalf("%+v, %v", result, err)
				}
			} else if err != nil || result.Events != 2 || !strings.HasSuffix(result.Segments[0].Export, ".sealed") {
				t.Fatalf("%+v, %v", result, err)
			}
			if with {
				export, err := vfs.ReadFile(disk, result.Segments[0].Export, 1<<20)
				if err != nil {
					t.Fatal(err)
				}
				plain, err := keys.OpenAny(export)
				if err != nil || bytes.Count(plain, []byte("\n")) != 2 || bytes.Contains(export, []byte(ids[1])) {
					t.Errorf("the export: %.100s, %v", plain, err)
				}
			}
			log := openLog(t, disk, sealing(t, disk))
			defer log.Close()
			deliveries, err := leaseAll(log)
			if err != nil || len(deliveries) != 5 {
				t.Errorf("%d events after the repair, %v", len(deliveries), err)
			}
		})
	}
}
