// Package e2e_test tells the stories of a user with the real binary: over HTTP and on the command
// line.
package e2e_test

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver" // the database as any other program sees it

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/ledger"
	"pillarbox/internal/replay"
	"pillarbox/test/harness"
	"pillarbox/test/pgserver"
)

// postgresServer is started by the first test that asks for it.
var postgresServer pgserver.Shared

func TestMain(m *testing.M) {
	code := harness.Main(m)
	postgresServer.Stop()
	os.Exit(code)
}

func post(t *testing.T, url, contentType string, body []byte) (*http.Response, []byte) {
	t.Helper()
	response, err := http.Post(url, contentType, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, text
}

func accept(t *testing.T, url, contentType string, body []byte) pillarbox.Receipt {
	t.Helper()
	response, text := post(t, url, contentType, body)
	var receipt pillarbox.Receipt
	if err := json.Unmarshal(text, &receipt); err != nil ||
		response.StatusCode != http.StatusAccepted ||
		response.Header.Get("X-Request-Id") != receipt.RequestID {
		t.Fatalf("POST %s: %d %s %v", url, response.StatusCode, text, err)
	}
	return receipt
}

func database(t *testing.T, data string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(data, "events.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func execute(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func drained(e ledger.Entry) bool { return e.Pending == 0 }

// TestBodiesComeBackByteForByte posts JSON, binary and empty bodies, restarts the server, and
// compares.
func TestBodiesComeBackByteForByte(t *testing.T) {
	data := t.TempDir()
	s := harness.Start(t, data)
	want := map[string][]byte{}
	for _, body := range [][]byte{[]byte(`{"hello":"world"}`), {0, 1, 0xff, 0xfe, '\n'}, {}, []byte("straße ☂\x00"), bytes.Repeat([]byte{0x80}, 1<<20)} {
		want[accept(t, s.Public+"/app?a=1", "application/json", body).RequestID] = body
	}
	s.WaitUntil("everything is stored", drained)
	for range 2 {
		var page adminapi.EventPage
		out, _, code := harness.Run(t, "events", "--server", s.Admin, "-o", "json")
		if err := json.Unmarshal([]byte(out), &page); err != nil || code != 0 ||
			len(page.Events) != len(want) {
			t.Fatalf("events: exit %d, %d events, %v", code, len(page.Events), err)
		}
		for _, event := range page.Events {
			if body, known := want[event.RequestID]; !known || !bytes.Equal(body, event.Body) ||
				event.Query != "a=1" {
				t.Errorf("event %s came back changed", event.RequestID)
			}
		}
		s.Stop()
		s = harness.Start(t, data)
	}
	s.Stop()
	out, _, code := harness.Run(t, "events", "--data", data, "-o", "csv")
	if code != 0 || strings.Count(out, "\n") < len(want)+1 {
		t.Errorf("events without a server: exit %d\n%s", code, out)
	}
}

// TestOneInAThousandIsRefused lets the database refuse one event in a thousand: exactly those
// become dead letters, the others are stored at once, and a replay after the cause is gone stores
// them too.
func TestOneInAThousandIsRefused(t *testing.T) {
	data := t.TempDir()
	s := harness.Start(t, data)
	accept(t, s.Public+"/app", "application/json", []byte(`{"n":0}`)) // the table exists after the first event
	s.WaitUntil("the first event is stored", drained)
	db := database(t, data)
	execute(t, db, `CREATE TRIGGER refuse BEFORE INSERT ON events WHEN json_extract(NEW.body, '$.n') % 1000 = 500
		BEGIN SELECT RAISE(ABORT, 'n is not wanted'); END`)
	var lines strings.Builder
	for n := 1; n <= 5000; n++ {
		fmt.Fprintf(&lines, "{\"n\":%d}\n", n)
	}
	response, text := post(t, s.Public+"/app/batch", "application/x-ndjson", []byte(lines.String()))
	if response.StatusCode != http.StatusAccepted || bytes.Count(text, []byte("accepted")) != 5000 {
		t.Fatalf("batch: %d %.200s", response.StatusCode, text)
	}
	entry := s.WaitUntil("everything is settled", drained)
	if entry.Stored != 4996 || entry.Dead != 5 || !entry.Balanced {
		t.Errorf("ledger %+v, want 4996 stored and 5 dead", entry)
	}
	checkLetters(t, s, data)
	if _, _, code := harness.Run(t, "dead", "replay", "--all", "--server", s.Admin); code != 1 {
		t.Errorf("a replay that is refused again exits with %d, want 1", code)
	}
	execute(t, db, `DROP TRIGGER refuse`)
	var progress replay.Progress
	out, _, code := harness.Run(t, "dead", "replay", "--all", "--server", s.Admin, "-o", "json")
	if err := json.Unmarshal([]byte(out), &progress); err != nil || code != 0 ||
		progress.Replayed != 5 {
		t.Errorf("replay: exit %d, %+v, %v", code, progress, err)
	}
	entry = s.WaitUntil("everything is settled", drained)
	if entry.Stored != 5001 || entry.Dead != 0 || !entry.Balanced {
		t.Errorf("ledger after the replay %+v", entry)
	}
	if out, _, code := harness.Run(t, "audit", "--server", s.Admin); code != 0 {
		t.Errorf("audit exits with %d\n%s", code, out)
	}
	s.Stop()
}

// checkLetters reads the dead letters from their files and over the command line.
func checkLetters(t *testing.T, s *harness.Server, data string) {
	t.Helper()
	var files []string
	for deadline := time.Now().Add(patience); len(files) != 5; <-time.After(20 * time.Millisecond) { // they follow the letters
		var err error
		if files, err = filepath.Glob(filepath.Join(data, "dead-letters", "????-??-??",
			"*.json")); err != nil || time.Now().After(deadline) {
			t.Fatalf("%d dead letters, want 5: %v", len(files), err)
		}
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	var letter pillarbox.DeadLetter
	if err := json.Unmarshal(text, &letter); err != nil {
		t.Fatal(err)
	}
	if len(letter.Attempts) != 1 || !strings.Contains(letter.Attempts[0].Error, "n is not wanted") ||
		letter.Attempts[0].Class != pillarbox.ClassPermanent ||
		!strings.Contains(letter.Replay, "pillarbox dead replay "+letter.Event.RequestID) {
		t.Errorf("letter %s", text)
	}
	out, _, code := harness.Run(t, "dead", "list", "--server", s.Admin, "-o", "csv")
	if code != 0 || strings.Count(out, "n is not wanted") != 5 {
		t.Errorf("dead list: exit %d\n%s", code, out)
	}
	out, _, code = harness.Run(t, "explain", letter.Event.RequestID, "--server", s.Admin)
	if code != 0 || !strings.Contains(out, "the event is dead") {
		t.Errorf("explain: exit %d\n%s", code, out)
	}
	out, _, code = harness.Run(t, "dead", "replay", "--all", "--dry-run", "--server", s.Admin)
	if code != 0 || !strings.Contains(out, "5 dead letters would be replayed") {
		t.Errorf("dry run: exit %d\n%s", code, out)
	}
}

// TestLockedDatabaseHoldsUpNobody locks the database from outside: accepting goes on, the status
// says why delivery waits, no attempt is spent, and everything is stored when the lock is gone.
func TestLockedDatabaseHoldsUpNobody(t *testing.T) {
	data := t.TempDir()
	s := harness.Start(t, data)
	accept(t, s.Public+"/app", "text/plain", []byte("first"))
	s.WaitUntil("the first event is stored", drained)
	db := database(t, data)
	db.SetMaxOpenConns(1)
	execute(t, db, "BEGIN IMMEDIATE")
	for i := range 100 {
		accept(t, s.Public+"/app", "text/plain", fmt.Appendf(nil, "event %d", i))
	}
	status := waitForStatus(t, s, func(d adminapi.DestinationStatus) bool {
		return d.State == "down"
	})
	if !strings.Contains(status.LastError, "lock") || status.Retrying != 0 || status.Pending != 100 {
		t.Errorf("status %+v", status)
	}
	response, text := post(t, s.Public+"/app", "text/plain", nil)
	if response.StatusCode != http.StatusAccepted {
		t.Errorf("accepting while the database is locked: %d %s", response.StatusCode, text)
	}
	execute(t, db, "ROLLBACK")
	entry := s.WaitUntil("everything is stored", drained)
	if entry.Stored != 102 || entry.Dead != 0 || !entry.Balanced {
		t.Errorf("ledger %+v", entry)
	}
	s.Stop()
}

func waitForStatus(t *testing.T, s *harness.Server,
	is func(adminapi.DestinationStatus) bool) adminapi.DestinationStatus {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		var status adminapi.Status
		s.Get("/api/v1/status", &status)
		if is(status.Destinations[0]) {
			return status.Destinations[0]
		}
		if time.Now().After(deadline) {
			t.Fatalf("the status stays at %+v", status.Destinations[0])
		}
		<-time.After(20 * time.Millisecond)
	}
}

// TestPreferWaitAnswersStored asks to wait until the event is in the destination.
func TestPreferWaitAnswersStored(t *testing.T) {
	s := harness.Start(t, t.TempDir())
	request, err := http.NewRequest(http.MethodPost, s.Public+"/app", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Prefer", "wait=10")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusCreated || !strings.Contains(string(text), `"status":"stored"`) {
		t.Errorf("%d %s", response.StatusCode, text)
	}
	s.Stop()
}

// TestFollowShowsWhatIsStored follows on the command line while events come in.
func TestFollowShowsWhatIsStored(t *testing.T) {
	s := harness.Start(t, t.TempDir())
	defer s.Stop()
	follower := harness.Command(t, "events", "--follow", "--server", s.Admin, "-o", "json")
	lines := follower.Lines()
	deadline := time.After(30 * time.Second)
	for {
		receipt := accept(t, s.Public+"/app", "text/plain", []byte("tick"))
		select {
		case line := <-lines:
			var event pillarbox.Event
			if err := json.Unmarshal([]byte(line), &event); err != nil || string(event.Body) != "tick" {
				t.Fatalf("followed %q, %v", line, err)
			}
			follower.Interrupt()
			return
		case <-time.After(100 * time.Millisecond): // it may not have begun to follow yet
			_ = receipt
		case <-deadline:
			t.Fatal("nothing was followed")
		}
	}
}

// TestFollowGoesOnAfterAKill: the follower of a server that is killed and started again shows each
// event once.
func TestFollowGoesOnAfterAKill(t *testing.T) {
	data := t.TempDir()
	s := harness.Start(t, data)
	posted := []string{accept(t, s.Public+"/app", "text/plain", []byte("first")).RequestID}
	s.WaitUntil("the first event is stored", drained)
	follower := harness.Command(t, "events", "--follow", "--since", "1h", "--server", s.Admin, "-o",
		"csv")
	shown := func() string {
		t.Helper()
		select {
		case line := <-follower.Lines():
			return strings.Split(line, ",")[1]
		case <-time.After(time.Minute): // a machine may be busy
			t.Fatalf("only %v are shown of %v", posted[:len(posted)-1], posted)
			return ""
		}
	}
	for life := range 3 {
		if got := shown(); got != posted[len(posted)-1] {
			t.Fatalf("life %d: shown is %s, want %s", life, got, posted[len(posted)-1])
		}
		posted = append(posted, accept(t, s.Public+"/app", "text/plain", []byte("last words")).RequestID)
		s.Kill()
		s = harness.Start(t, data, "--admin", strings.TrimPrefix(s.Admin, "http://"))
	}
	if got := shown(); got != posted[3] {
		t.Errorf("shown is %s, want %s", got, posted[3])
	}
	follower.Interrupt()
	for line := range follower.Lines() {
		t.Errorf("shown twice: %s", line)
	}
	s.Stop()
}

// TestTroubleIsToldInOneLine provokes what users run into first.
func TestTroubleIsToldInOneLine(t *testing.T) {
	data := t.TempDir()
	s := harness.Start(t, data)
	defer s.Stop()
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, []byte("listen: \":8080\"\nqueue:\n  max_byte: 1GiB\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		code int
		want string
	}{
		{"unknown key", []string{"serve", "--config", broken}, 2, "broken.yaml:3:3:"},
		{"second server", []string{"serve", "--data", data, "--listen", "127.0.0.1:0", "--admin",
			"127.0.0.1:0"}, 1, "in use by another pillarbox"},
		{"offline command on a running server's directory", []string{"queue", "verify", "--data", data},
			1, "in use by another pillarbox"},
		{"port taken", []string{"serve", "--data", filepath.Join(t.TempDir(), "d"), "--listen",
			taken.Addr().String(), "--admin", "127.0.0.1:0"}, 1, "is taken by another program"},
		{"directory is a file", []string{"serve", "--data", file}, 1, "choose another with --data"},
		{"unknown command", []string{"serv"}, 2, "there is no command"},
		{"unknown flag", []string{"serve", "--dat", "x"}, 2, "unknown flag"},
		{"no data and no server", []string{"status", "--data", filepath.Join(t.TempDir(), "none")}, 1,
			"there is no data directory"},
		{"unknown event", []string{"explain", "nobody", "--server", s.Admin}, 1, "not found"},
		{"wrong form", []string{"events", "-o", "xml", "--server", s.Admin}, 2,
			"want table, json or csv"},
		{"wrong time", []string{"events", "--since", "yesterday", "--server", s.Admin}, 2, "since"},
		{"admin without token", []string{"serve", "--admin", "0.0.0.0:0", "--data",
			filepath.Join(t.TempDir(), "d")}, 2, "token"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out, talk, code := harness.Run(t, c.args...)
			talk = strings.TrimSpace(talk)
			if code != c.code || !strings.Contains(talk, c.want) || strings.Contains(talk, "\n") ||
				out != "" {
				t.Errorf("exit %d, want %d with %q; stdout %q, stderr:\n%s", code, c.code, c.want, out, talk)
			}
		})
	}
}

// TestDamagedDeliveryStateIsRefusedAndMended damages both files of the delivery state: the start
// says what to do, nothing is removed, and after the repair everything is there.
func TestDamagedDeliveryStateIsRefusedAndMended(t *testing.T) {
	data := t.TempDir()
	s := harness.Start(t, data)
	for range 20 {
		accept(t, s.Public+"/app", "text/plain", []byte("x"))
	}
	s.WaitUntil("everything is stored", drained)
	s.Stop()
	files, err := filepath.Glob(filepath.Join(data, "queue", "events.*.state"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no delivery state: %v", err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		content[70] ^= 1
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, talk, code := harness.Run(t, "serve", "--data", data, "--listen", "127.0.0.1:0", "--admin",
		"127.0.0.1:0")
	if code != 1 || !strings.Contains(talk, "pillarbox queue repair") ||
		strings.Contains(talk, "goroutine") {
		t.Errorf("start with a damaged delivery state: exit %d\n%s", code, talk)
	}
	if out, talk, code := harness.Run(t, "queue", "repair", "--data", data); code != 0 ||
		!strings.Contains(out, "made anew") {
		t.Errorf("repair: exit %d\n%s%s", code, out, talk)
	}
	s = harness.Start(t, data)
	entry := s.WaitUntil("everything is delivered again", drained)
	if entry.Stored != 20 || !entry.Balanced {
		t.Errorf("ledger after the repair %+v", entry)
	}
	s.Stop()
	if out, _, code := harness.Run(t, "audit", "--data", data); code != 0 {
		t.Errorf("audit exits with %d\n%s", code, out)
	}
}

// TestReloadAppliesWhatIsSafe changes max_body with SIGHUP, and a key that needs a restart without
// effect.
func TestReloadAppliesWhatIsSafe(t *testing.T) {
	config := filepath.Join(t.TempDir(), "pillarbox.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("sources:\n  app: { max_body: 10 }\n")
	s := harness.Start(t, t.TempDir(), "--config", config)
	if response, text := post(t, s.Public+"/app", "text/plain",
		make([]byte, 11)); response.StatusCode != http.StatusRequestEntityTooLarge ||
		!strings.Contains(string(text), "sources.app.max_body") {
		t.Errorf("11 bytes over a limit of 10: %d %s", response.StatusCode, text)
	}
	write("sources:\n  app: { max_body: 20 }\n")
	s.Signal(syscall.SIGHUP)
	deadline := time.Now().Add(30 * time.Second)
	for {
		response, _ := post(t, s.Public+"/app", "text/plain", make([]byte, 11))
		if response.StatusCode == http.StatusAccepted {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the new limit did not come into force")
		}
		<-time.After(20 * time.Millisecond)
	}
	s.Stop()
}

// TestReloadAddsASourceAndADestination while the server runs, is killed right after it has accepted
// for them, and starts again. What is taken away needs a restart, and nothing of that is put in
// force.
func TestReloadAddsASourceAndADestination(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pillarbox.yaml")
	data := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("sources: {app: }\n")
	s := harness.Start(t, data, "--config", file)
	accept(t, s.Public+"/app", "text/plain", []byte("before"))
	write(`
sources: {app: , web: {path: /in/web}}
destinations:
  events: {url: "sqlite:", sources: [app, web]}
  copies: {url: "sqlite:copies.db", sources: [web]}
`)
	s.Signal(syscall.SIGHUP)
	untilAnswered(t, s.Public+"/in/web", http.StatusAccepted)
	const more = 20
	for range more {
		accept(t, s.Public+"/in/web", "text/plain", []byte("after"))
		accept(t, s.Public+"/app", "text/plain", []byte("after"))
	}
	s.Kill()

	s = harness.Start(t, data, "--config", file)
	for _, entry := range settledEverywhere(t, s, 2) {
		want := map[string]uint64{"events": 1 + 1 + 2*more, "copies": 1 + more}[entry.Destination]
		if !entry.Balanced || entry.Stored != want || entry.Held > 0 {
			t.Errorf("%+v; want %d stored, none held", entry, want)
		}
	}
	write("sources: {app: }\n")
	s.Signal(syscall.SIGHUP)
	untilSaid(t, s, "these keys need a restart")
	accept(t, s.Public+"/in/web", "text/plain", []byte("it is still there"))
	write("sources: {app: {max_body: 3}, web: {path: /in/web}}\ndestinations:\n  events: {url: \"sqlite:\", sources: [app, web]}\n  copies: {url: \"sqlite:copies.db\", sources: [web]}\n")
	s.Signal(syscall.SIGHUP)
	untilAnswered(t, s.Public+"/app", http.StatusRequestEntityTooLarge)
	accept(t, s.Public+"/in/web", "text/plain", []byte("it is still there"))
	s.Stop()
}

// settledEverywhere waits until nothing is pending at so many destinations.
func settledEverywhere(t *testing.T, s *harness.Server, destinations int) []ledger.Entry {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(20 * time.Millisecond) {
		var totals ledger.Totals
		s.Get("/api/v1/ledger", &totals)
		pending := slices.ContainsFunc(totals.Destinations,
			func(e ledger.Entry) bool { return e.Pending > 0 })
		if len(totals.Destinations) == destinations && !pending {
			return totals.Destinations
		}
		if time.Now().After(deadline) {
			t.Fatalf("the ledger stays at %+v", totals)
		}
	}
}

// untilSaid waits for a line of the log.
func untilSaid(t *testing.T, s *harness.Server, line string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !strings.Contains(s.Log(), line); {
		if <-time.After(20 * time.Millisecond); time.Now().After(deadline) {
			t.Fatalf("the log does not say %q:\n%s", line, s.Log())
		}
	}
}

// untilAnswered posts four bytes until the answer is that one.
func untilAnswered(t *testing.T, url string, code int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; <-time.After(20 * time.Millisecond) {
		response, _ := post(t, url, "text/plain", make([]byte, 4))
		if response.StatusCode == code {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is answered with %d, and never with %d", url, response.StatusCode, code)
		}
	}
}

// TestQueueCommandsWorkOffline looks into a log that was left by a killed server.
func TestQueueCommandsWorkOffline(t *testing.T) {
	data := t.TempDir()
	s := harness.Start(t, data)
	for range 20 {
		accept(t, s.Public+"/app", "text/plain", []byte("x"))
	}
	s.Kill()
	for _, args := range [][]string{{"queue", "inspect"}, {"queue", "verify"}, {"queue", "repair"},
		{"queue", "inspect", "-o", "json"}} {
		if out, talk, code := harness.Run(t, append(args, "--data", data)...); code != 0 || out == "" {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, talk)
		}
	}
	if _, talk, code := harness.Run(t, "queue", "forget", "events", "--data", data); code != 1 ||
		!strings.Contains(talk, "is configured") {
		t.Errorf("forget a configured destination: exit %d, %s", code, talk)
	}
	out, _, code := harness.Run(t, "audit", "--data", data, "-o", "json")
	var audit ledger.Audit
	if err := json.Unmarshal([]byte(out), &audit); err != nil || code != 0 || audit.Accepted != 20 {
		t.Errorf("audit: exit %d, %+v, %v", code, audit, err)
	}
}

// TestTortureOnTheUsersDisk breaks a few servers from the command line, as a user does on a disk of
// theirs.
func TestTortureOnTheUsersDisk(t *testing.T) {
	dir := t.TempDir()
	out, talk, code := harness.Run(t, "torture", "--dir", dir, "--only", "crash-model,kill9", "-n",
		"4", "--seed", "7", "-o", "json")
	var runs []struct {
		Run          string
		Acknowledged int
		Lost         []string
		Verdict      string
	}
	if err := json.Unmarshal([]byte(out), &runs); err != nil || code != 0 || len(runs) != 2 {
		t.Fatalf("exit %d, %v\n%s%s", code, err, out, talk)
	}
	for _, run := range runs {
		if run.Verdict != "kept" || run.Acknowledged == 0 || len(run.Lost) > 0 {
			t.Errorf("%+v", run)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	for _, wrong := range [][]string{{"torture"}, {"torture", "--dir", "/no/such"},
		{"torture", "--dir", dir, "--only", "kill"}, {"torture", "--dir", dir, "-n", "0"}} {
		if _, talk, code := harness.Run(t, wrong...); code != 2 || talk == "" {
			t.Errorf("%v exits with %d and says %q", wrong, code, talk)
		}
	}
}
