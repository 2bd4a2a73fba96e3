package files_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/atrest/atresttest"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

func openSealed(t *testing.T, fsys vfs.FS) *files.Letters {
	t.Helper()
	letters, err := files.Open(fsys, "dead", files.Options{AtRest: atresttest.Open(t, fsys)})
	must(t, err)
	return letters
}

func TestLettersKeepTheirContractSealed(t *testing.T) {
	enginetest.DeadLetters(t, func(t *testing.T) pillarbox.DeadLetters {
		letters := openSealed(t, faultfs.New(faultfs.Options{}))
		t.Cleanup(func() { must(t, letters.Close()) })
		return letters
	})
}

// secretLetters are letters all of whose texts are one.
func secretLetters(n int, text string) (letters []*pillarbox.DeadLetter) {
	now := pillarbox.TimestampOf(time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC))
	for i := range n {
		letters = append(letters, &pillarbox.DeadLetter{
			Destination: "events", DeadAt: now, Reason: text,
			Attempts: []pillarbox.Attempt{{At: now, Class: pillarbox.ClassPermanent, Error: text}},
			Event: &pillarbox.Event{Timestamp: now, RequestID: fmt.Sprintf("letter-%d", i), Source: text, Method: "POST",
				Path: "/" + text, Query: text, Body: []byte(text)},
		})
	}
	return letters
}

// TestLettersAreNotInTheClear: neither in the journal, nor in files, nor in the index; and all of it is
// there for who has the key.
func TestLettersAreNotInTheClear(t *testing.T) {
	const secret = "the-word-that-nobody-may-read"
	disk := faultfs.New(faultfs.Options{})
	letters := openSealed(t, disk)
	err := letters.PutMany(context.Background(), secretLetters(20, secret))
	must(t, err)
	inJournal := contentBelow(t, disk.Crash(nil, faultfs.Kept), "dead")
	must(t, letters.Close())
	asFiles := contentBelow(t, disk, "dead")
	for _, found := range []map[string]string{inJournal, asFiles} {
		for name, content := range found {
			if bytes.Contains([]byte(content), []byte(secret)) {
				t.Errorf("%s has it in the clear", name)
			}
		}
	}
	if len(asFiles) < 20 {
		t.Errorf("only %d files were looked at", len(asFiles))
	}
	letters = openSealed(t, disk)
	defer func() { must(t, letters.Close()) }()
	all := list(t, letters)
	if len(all) != 20 || all[0].Event.Source != secret || all[0].Attempts[0].Error != secret {
		t.Errorf("%d letters", len(all))
	}
	n := 0
	for _, err := range letters.Summaries(context.Background(), pillarbox.DeadLetterFilter{Source: secret}) {
		must(t, err)
		n++
	}
	if n != 20 {
		t.Errorf("%d letters by their source, want 20", n)
	}
}

// TestLettersWaitForTheirDataKey: without it a letter keeps its place, says why it can't be read, and
// is as it was when the key is back, whatever was done to the index meanwhile.
func TestLettersWaitForTheirDataKey(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	letters := openSealed(t, disk)
	err := letters.PutMany(context.Background(), secretLetters(5, "secret"))
	must(t, err)
	must(t, letters.Close())
	must(t, disk.Rename(atrest.Directory, "aside"))
	for range 2 {
		letters = openSealed(t, disk) // with another data key
		count, err := letters.Count(context.Background(), "events")
		must(t, err)
		if count.Open != 5 {
			t.Errorf("counts %+v", count)
		}
		_, err = letters.Get(context.Background(), "events", "letter-0")
		var absent *atrest.NoKeyError
		if !errors.As(err, &absent) {
			t.Errorf("get: %v", err)
		}
		must(t, letters.Close())
	}
	for name, content := range contentBelow(t, disk, "aside") {
		must(t, vfs.WriteFile(disk, path.Join(atrest.Directory, path.Base(name)), []byte(content)))
	}
	letters = openSealed(t, disk)
	defer func() { must(t, letters.Close()) }()
	all := list(t, letters)
	if len(all) != 5 || all[0].Event.Source != "secret" {
		t.Errorf("%d letters are back", len(all))
	}
}

// TestSealedAndPlainLettersLieTogether: turned on, and off again, and what an older version sees.
func TestSealedAndPlainLettersLieTogether(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	for life := range 4 {
		opts := files.Options{}
		if life%2 == 1 {
			opts.AtRest = atresttest.Open(t, disk)
		} else if life > 0 {
			var err error
			opts.AtRest, err = atrest.Open(context.Background(), disk,
				atrest.Options{OldKeys: []atrest.KeyEncryption{atresttest.Key(t)}})
			must(t, err)
		}
		letters, err := files.Open(disk, "dead", opts)
		must(t, err)
		some := secretLetters(3, fmt.Sprint("life ", life))
		for _, letter := range some {
			letter.Event.RequestID = fmt.Sprint(life, "-", letter.Event.RequestID)
		}
		err = letters.PutMany(context.Background(), some)
		must(t, err)
		if n := len(list(t, letters)); n != 3*(life+1) {
			t.Errorf("life %d lists %d letters", life, n)
		}
		must(t, letters.Close())
		complete := contentBelow(t, disk, "dead")["dead/index/complete"]
		if want := map[bool]string{false: "1\n", true: "2\n"}[life > 0]; complete != want {
			t.Errorf("life %d: the index says that it is of version %q, want %q", life, complete, want)
		}
	}
}
