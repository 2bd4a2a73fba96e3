package files_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"maps"
	"path"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/files"
	"pillarbox/internal/vfs"
	"pillarbox/internal/vfs/faultfs"
)

// contentBelow is every file below a directory.
func contentBelow(t *testing.T, disk vfs.FS, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	entries, err := disk.ReadDir(dir)
	must(t, err)
	for _, entry := range entries {
		name := path.Join(dir, entry.Name)
		if entry.Dir {
			maps.Copy(found, contentBelow(t, disk, name))
			continue
		}
		content, err := vfs.ReadFile(disk, name, 1<<20)
		must(t, err)
		found[name] = string(content)
	}
	return found
}

// TestNewerJournalAndIndexAreRefusedAndNotTouched: what a newer version has written beside the
// letters is no damage, and no leftover.
func TestNewerJournalAndIndexAreRefusedAndNotTouched(t *testing.T) {
	head := append([]byte("pbjrnl03"), make([]byte, 24)...)
	binary.LittleEndian.PutUint64(head[8:], 7)
	sum := crc32.Checksum(append(make([]byte, 8), head...), crc32.MakeTable(crc32.Castagnoli))
	head = append(binary.LittleEndian.AppendUint32(head, sum), "what nobody here understands"...)
	for name, newer := range map[string]struct{ file, content, want string }{
		"journal": {"dead/journal/0000000007.journal", string(head), "and stop it in order"},
		"index":   {"dead/index/complete", "3\n", "or remove the directory while no server runs"},
	} {
		t.Run(name, func(t *testing.T) {
			disk := faultfs.New(faultfs.Options{})
			store, err := files.Open(disk, "dead", files.Options{Unmaintained: true})
			must(t, err)
			must(t, store.PutMany(t.Context(), enginetest.Letters(2, 1)))
			must(t, store.Close())
			must(t, vfs.WriteFile(disk, newer.file, []byte(newer.content)))
			must(t, vfs.WriteFile(disk, "dead/journal/0000000008.journal"+vfs.TempSuffix, []byte("x")))
			before := contentBelow(t, disk, "dead")
			_, err = files.Open(disk, "dead", files.Options{})
			if !errors.Is(err, pillarbox.ErrInvalid) || errors.Is(err, pillarbox.ErrUnavailable) ||
				!strings.Contains(err.Error(), "written in a newer format; use the version of pillarbox that wrote it, "+newer.want) {
				t.Errorf("%v, want a refusal", err)
			}
			if after := contentBelow(t, disk, "dead"); !maps.Equal(before, after) {
				t.Errorf("something was changed: %d files before, %d after", len(before), len(after))
			}
		})
	}
}

// TestHeadOfAJournalThatIsTornIsNoVersion: a power cut may leave any bytes of a head that was not
// synced.
func TestHeadOfAJournalThatIsTornIsNoVersion(t *testing.T) {
	disk := faultfs.New(faultfs.Options{})
	must(t, vfs.MkdirAll(disk, "dead/journal"))
	must(t, vfs.WriteFile(disk, "dead/journal/0000000007.journal", append([]byte("pbjrnl03"), make([]byte, 40)...)))
	store, err := files.Open(disk, "dead", files.Options{Unmaintained: true})
	must(t, err)
	must(t, store.Close())
}
