package quarantine_test

import (
	"errors"
	"path"
	"testing"

	"pillarbox"
	"pillarbox/internal/quarantine"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// FuzzFiles: whatever stands in a file, it is a request or damage, and nothing of it is unsealed that
// was not sealed here.
func FuzzFiles(f *testing.F) {
	f.Add([]byte(`{"version":1,"reason":"mismatch","elapsed_seconds":1,"key":"","sealed":"","event":{"request_id":"a","timestamp":"2026-11-23T14:12:00.123456Z"}}`))
	f.Add([]byte(`{"version":2}`))
	f.Add([]byte("{"))
	f.Fuzz(func(t *testing.T, text []byte) {
		disk := faultfs.New(faultfs.Options{})
		err := errors.Join(vfs.MkdirAll(disk, quarantine.Directory), vfs.WriteFile(disk, path.Join(quarantine.Directory, "a.json"), text))
		if err != nil {
			t.Fatal(err)
		}
		s := open(t, disk, quarantine.Options{})
		if entry, err := s.Get("a"); err == nil && entry.Event.RequestID != "a" || err != nil && !errors.Is(err, pillarbox.ErrCorrupt) {
			t.Errorf("it is %+v, %v", entry, err)
		}
		err = s.Decide("a", quarantine.Released, func(*quarantine.Entry, *quarantine.Raw) error { return nil })
		if !errors.Is(err, pillarbox.ErrCorrupt) || !s.Has("a") {
			t.Errorf("it is released: %v", err)
		}
	})
}
