// Package formats_test opens data directories that earlier versions have left, with today's binary.
// They are in testdata, one for each format and each way to end, and never change: a version that
// brings a new format adds its own with
//
//	go test ./test/formats -run TestStoreDirectories -store OLD-BINARY -format NAME
package formats_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/ncruces/go-sqlite3/driver" // the database as any other program sees it

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/atrest/atresttest"
	"pillarbox/internal/deadletterfile"
	"pillarbox/internal/ledger"
	"pillarbox/internal/torture"
	"pillarbox/internal/vfs"
	"pillarbox/test/harness"
)

var (
	store  = flag.String("store", "", "binary of the version whose data directories are to be stored")
	format = flag.String("format", "", "what is said of them in testdata")
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// What every stored directory holds, by source.
const (
	storedEvents   = 3 // delivered
	openLetters    = 3 // one of a killed life in the journal alone, where letters have one
	discarded      = 1
	replayed       = 1
	retryingEvents = 2 // refused once, and not for good
	heldEvents     = 3 // of a source that no destination takes any more
	pendingEvents  = 4 // never tried

	allEvents = storedEvents + openLetters + discarded + replayed + retryingEvents + heldEvents + pendingEvents
)

// Waits between two attempts, each shorter than the one before: what an earlier life has stored of
// a wait is then longer than any of the configuration, and the attempt is due at the start. While a
// life lasts there is no second one.
const (
	storingBackoff  = "1h"
	openingBackoff  = "30m"
	drainingBackoff = "10m"
	lastBackoff     = "5m"
)

// configuration is a file with these sources, all of which the destination takes. Nothing becomes
// too old.
func configuration(t *testing.T, sources, backoff string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pillarbox.yaml")
	text := "queue: { segment_bytes: 64KiB, max_age: 36500d }\nsources:\n"
	for source := range strings.SplitSeq(sources, ", ") {
		text += fmt.Sprintf("  %s: { path: /%[1]s }\n", source)
	}
	text += fmt.Sprintf("destinations: { events: { url: \"sqlite:\", sources: [%s], backoff: { initial: %s, max: %[2]s } } }\n",
		sources, backoff)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func execute(t *testing.T, data string, statements ...string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(data, "events.db"))
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { _ = db.Close() })
	for _, statement := range statements {
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	return db
}

// TestStoreDirectories makes the directories of a version, with that version's own binary.
func TestStoreDirectories(t *testing.T) {
	if *store == "" || *format == "" {
		t.Skip("it is told which with -store and -format")
	}
	if strings.Contains(*format, sealedForm) {
		encrypt(t)
	}
	for _, how := range []string{"killed", "stopped"} {
		data := t.TempDir()
		receipts := fill(t, data, how == "killed")
		pack(t, data, filepath.Join("testdata", *format+"-"+how))
		name := filepath.Join("testdata", *format+"-"+how+".receipts")
		if err := os.WriteFile(name, receipts, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// sealedForm is in the names of directories that need the key.
const sealedForm = "sealed"

// encrypt has servers and commands seal with a key that is the same for all stored directories.
func encrypt(t *testing.T) {
	t.Setenv("FORMATS_KEY", atresttest.Text)
	t.Setenv("PILLARBOX_ENCRYPTION_KEY", "env:FORMATS_KEY")
}

// storing posts to a server of the version that is to be stored, and keeps the receipts.
type storing struct {
	t        *testing.T
	data     string
	receipts bytes.Buffer
}

func (s *storing) start(sources string) *torture.Server {
	s.t.Helper()
	server, err := torture.Start(s.t.Context(), *store, s.data, "--config", configuration(s.t, sources, storingBackoff))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(server.End)
	return server
}

func (s *storing) post(url, body string, n int) (receipts []pillarbox.Receipt) {
	s.t.Helper()
	for range n {
		response, err := http.Post(url, "application/octet-stream", strings.NewReader(body))
		if err != nil {
			s.t.Fatal(err)
		}
		line, err := io.ReadAll(response.Body)
		if err = errors.Join(err, response.Body.Close()); err != nil || response.StatusCode != http.StatusAccepted {
			s.t.Fatalf("post: %d %s %v", response.StatusCode, line, err)
		}
		var receipt pillarbox.Receipt
		if err := json.Unmarshal(line, &receipt); err != nil {
			s.t.Fatal(err)
		}
		receipts = append(receipts, receipt)
		s.receipts.Write(append(bytes.TrimSpace(line), '\n'))
	}
	return receipts
}

// fill has a server of the version do all that it can, and kills or stops it in the middle of that.
func fill(t *testing.T, data string, kill bool) []byte {
	s := &storing{t: t, data: data}
	until := func(server *torture.Server, what string, is func(ledger.Entry) bool) {
		t.Helper()
		if _, err := server.WaitUntil(what, is); err != nil {
			t.Fatal(err)
		}
	}
	server := s.start("app, web")
	s.post(server.Public+"/app?q=%FF", "stored \xff", storedEvents)
	until(server, "the first are stored", func(e ledger.Entry) bool { return e.Stored == storedEvents })
	execute(t, data, `CREATE TRIGGER refuse BEFORE INSERT ON events WHEN CAST(NEW.body AS TEXT) = 'dead'
		BEGIN SELECT RAISE(ABORT, 'it is not wanted'); END`,
		`CREATE TRIGGER fail BEFORE INSERT ON events WHEN CAST(NEW.body AS TEXT) = 'retry'
		BEGIN SELECT abs(-9223372036854775807 - 1); END`)
	s.post(server.Public+"/app", "dead", openLetters-1+discarded+replayed)
	until(server, "some are dead", func(e ledger.Entry) bool { return e.Dead == openLetters-1+discarded+replayed })
	s.resolve(server)
	for _, receipt := range s.post(server.Public+"/app", "retry", retryingEvents) {
		until(server, "it waits for another attempt", func(ledger.Entry) bool {
			out, _, _ := harness.RunBinary(t, *store, "explain", receipt.RequestID, "--server", server.Admin)
			return strings.Contains(out, "overflow")
		})
	}
	lock := execute(t, data, `CREATE TRIGGER late BEFORE INSERT ON events WHEN CAST(NEW.body AS TEXT) = 'late'
		BEGIN SELECT RAISE(ABORT, 'it is too late'); END`, "BEGIN EXCLUSIVE")
	late := s.post(server.Public+"/app", "late", 1)[0]
	unblock := func() {}
	if _, err := os.Stat(filepath.Join(data, "dead-letters", "journal")); err == nil && kill {
		unblock = blockFile(t, data, late)
	}
	unlock(t, lock)
	until(server, "the late one is dead", func(e ledger.Entry) bool { return e.Dead == openLetters+discarded })
	lock = execute(t, data, "BEGIN EXCLUSIVE")
	s.post(server.Public+"/web", "held", heldEvents)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	server = s.start("app")
	until(server, "some are held", func(e ledger.Entry) bool { return e.Held == heldEvents })
	s.post(server.Public+"/app", "pending", pendingEvents)
	end := server.Stop
	if kill {
		end = server.Kill
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	unlock(t, lock)
	unblock()
	return s.receipts.Bytes()
}

func unlock(t *testing.T, lock *sql.DB) {
	t.Helper()
	if _, err := lock.Exec("ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
}

// blockFile keeps the letter of an event from getting its file, so that the journal alone has it.
func blockFile(t *testing.T, data string, receipt pillarbox.Receipt) (unblock func()) {
	id := deadletterfile.IDOf("events", pillarbox.Key{Timestamp: receipt.Timestamp, RequestID: receipt.RequestID})
	name := deadletterfile.Name(id, deadletterfile.PlaceOf(receipt.Timestamp, deadletterfile.Open)) + vfs.TempSuffix
	block := filepath.Join(data, "dead-letters", filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Join(block, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(block); err != nil {
			t.Fatal(err)
		}
		if files, err := filepath.Glob(filepath.Join(data, "dead-letters", "journal", "*.journal")); err != nil ||
			len(files) == 0 {
			t.Fatalf("no journal is left: %v", err)
		}
	}
}

// resolve discards one letter, and has another one stored.
func (s *storing) resolve(server *torture.Server) {
	s.t.Helper()
	letters := openOnes(s.t, *store, server.Admin)
	run := func(args ...string) {
		if out, talk, code := harness.RunBinary(s.t, *store, append(args, "--server", server.Admin)...); code != 0 {
			s.t.Fatalf("%v: exit %d, %s%s", args, code, out, talk)
		}
	}
	run("dead", "discard", letters[0])
	execute(s.t, s.data, "DROP TRIGGER refuse")
	run("dead", "replay", letters[1])
}

func openOnes(t *testing.T, binary, admin string) (ids []string) {
	t.Helper()
	out, talk, code := harness.RunBinary(t, binary, "dead", "list", "--server", admin, "-o", "json")
	var page adminapi.DeadLetterPage
	if err := json.Unmarshal([]byte(out), &page); err != nil || code != 0 {
		t.Fatalf("dead list: exit %d, %v, %s", code, err, talk)
	}
	for _, letter := range page.DeadLetters {
		ids = append(ids, letter.Event.RequestID)
	}
	return ids
}

// TestEarlierDirectoriesOpen takes what each format and each end has left: today's binary verifies
// it, delivers all of it, balances, lists and replays the letters, and every receipt is kept.
func TestEarlierDirectoriesOpen(t *testing.T) {
	archives, err := filepath.Glob("testdata/*.tar.gz")
	if err != nil || len(archives) == 0 {
		t.Fatalf("no directories are stored: %v", err)
	}
	for _, archive := range archives {
		name := strings.TrimSuffix(filepath.Base(archive), ".tar.gz")
		for _, encrypted := range []bool{false, true} {
			if !encrypted && strings.Contains(name, sealedForm) {
				continue
			}
			t.Run(fmt.Sprintf("%s, encryption %v", name, encrypted), func(t *testing.T) {
				if encrypted {
					encrypt(t)
				}
				data := t.TempDir()
				unpack(t, archive, data)
				open(t, data, strings.TrimSuffix(archive, ".tar.gz")+".receipts")
			})
		}
	}
}

func open(t *testing.T, data, receipts string) {
	must := func(args ...string) {
		t.Helper()
		if out, talk, code := harness.Run(t, args...); code != 0 {
			t.Errorf("%v: exit %d, %s%s", args, code, out, talk)
		}
	}
	must("queue", "verify", "--data", data)
	s := harness.Start(t, data, "--config", configuration(t, "app", openingBackoff))
	s.WaitUntil("what waits for another attempt still does", func(e ledger.Entry) bool {
		return e.Held == heldEvents && e.Pending == heldEvents+retryingEvents
	})
	s.Stop()
	execute(t, data, "DROP TRIGGER fail", "DROP TRIGGER late")
	s = harness.Start(t, data, "--config", configuration(t, "app", drainingBackoff))
	before := s.WaitUntil("what is held is known, and all else is stored", func(e ledger.Entry) bool {
		return e.Held == heldEvents && e.Pending == heldEvents
	})
	if before.Accepted != allEvents || !before.Balanced {
		t.Errorf("ledger %+v, want %d accepted, in balance", before, allEvents)
	}
	s.Stop()
	s = harness.Start(t, data, "--config", configuration(t, "app, web", lastBackoff))
	after := s.WaitUntil("everything is delivered", func(e ledger.Entry) bool { return e.Pending == 0 })
	if after.Accepted != allEvents || after.Dead != openLetters+discarded || !after.Balanced {
		t.Errorf("ledger %+v, want %d accepted, %d dead, in balance", after, allEvents, openLetters+discarded)
	}
	must("audit", "--receipts", receipts, "--server", s.Admin)
	if letters := openOnes(t, harness.Binary(), s.Admin); len(letters) != openLetters {
		t.Errorf("%d letters are open, want %d", len(letters), openLetters)
	}
	must("dead", "replay", "--all", "--server", s.Admin)
	must("audit", "--server", s.Admin)
	s.Stop()
	must("queue", "verify", "--data", data)
	must("audit", "--receipts", receipts, "--data", data)
	db := execute(t, data)
	var rows int
	if err := db.QueryRow("SELECT count(*) FROM events").Scan(&rows); err != nil || rows != allEvents-discarded {
		t.Errorf("%d rows, %v, want %d", rows, err, allEvents-discarded)
	}
	if entries, err := os.ReadDir(filepath.Join(data, "queue", "quarantine")); err == nil && len(entries) > 0 {
		t.Errorf("%d files are in quarantine: something was taken for damage", len(entries))
	}
}

// pack writes a directory as an archive.
func pack(t *testing.T, dir, name string) {
	t.Helper()
	var packed bytes.Buffer
	compressed, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // the level is a constant
	archive := tar.NewWriter(compressed)
	err := errors.Join(archive.AddFS(os.DirFS(dir)), archive.Close(), compressed.Close())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".tar.gz", packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// unpack makes the directory of an archive.
func unpack(t *testing.T, name, dir string) {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	content, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	for archive := tar.NewReader(content); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err == nil && !fs.ValidPath(strings.TrimSuffix(header.Name, "/")) {
			err = fmt.Errorf("%s is no path", header.Name)
		}
		if err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(dir, filepath.FromSlash(header.Name))
		if header.Typeflag == tar.TypeDir {
			err = os.MkdirAll(at, 0o700)
		} else {
			err = unpackFile(archive, at)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func unpackFile(from io.Reader, name string) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	content, err := io.ReadAll(from)
	if err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o600)
}
