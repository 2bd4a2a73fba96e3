package e2e_test

import (
	"bufio"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/ledger"
	"pillarbox/test/harness"
)

const sentRequests = 1000

// digest is the sha256 of everything that a client chose.
func digest(query, contentType, header string, body []byte) string {
	sum := sha256.New()
	for _, part := range []string{query, contentType, header, string(body)} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

func digestOf(event *pillarbox.Event) string {
	for _, field := range event.Header {
		if field.Name == "X-Bytes" {
			return digest(event.Query, event.ContentType, field.Value, event.Body)
		}
	}
	return "no header"
}

// anyBytes are up to n of those that may stand in a field and in a target: no control characters,
// no space, which ends a target, and no #, which it never has (RFC 9112, section 3.2).
func anyBytes(random *rand.Rand, n int) string {
	text := make([]byte, 1+random.IntN(n))
	for i := range text {
		for text[i] <= ' ' || text[i] == 0x7f || text[i] == '#' {
			text[i] = byte(random.Uint32())
		}
	}
	return string(text)
}

// sendBytes posts the same requests each time, and returns their digests.
func sendBytes(t *testing.T, address string) (digests []string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(address, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	random := rand.New(rand.NewPCG(12, 1))
	for i := range sentRequests {
		query, contentType, header := anyBytes(random, 60), anyBytes(random, 40), anyBytes(random, 60)
		body := make([]byte, random.IntN(2000))
		for at := range body {
			body[at] = byte(random.Uint32())
		}
		fmt.Fprintf(conn, "POST /app?%s HTTP/1.1\r\nHost: h\r\nContent-Type: %s\r\nX-Bytes: %s\r\nContent-Length: %d\r\n\r\n%s",
			query, contentType, header, len(body), body)
		response, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusAccepted {
			t.Fatalf("request %d with the query %q, type %q and header %q is answered with %d %s, %v", i,
				query,
				contentType, header, response.StatusCode, text, err)
		}
		digests = append(digests, digest(query, contentType, header, body))
	}
	slices.Sort(digests)
	return digests
}

// TestBytesComeOutAsTheyCameIn sends a thousand requests of any bytes in query, headers and body,
// and sends them again while the database refuses everything. They are the same in the table
// directly, in dead letters, in the table after a replay, over the API, and in exports.
func TestBytesComeOutAsTheyCameIn(t *testing.T) {
	data := t.TempDir()
	s := harness.Start(t, data)
	want := sendBytes(t, s.Public)
	s.WaitUntil("all is stored", drained)
	db := database(t, data)
	equal(t, "the table", tableDigests(t, db, "CAST(body AS BLOB)"), want)

	execute(t, db, "CREATE TRIGGER refuse BEFORE INSERT ON events BEGIN SELECT RAISE(ABORT, 'no'); END")
	sendBytes(t, s.Public)
	s.WaitUntil("all others are dead", func(e ledger.Entry) bool { return e.Dead == sentRequests })
	equal(t, "dead letters over the API", apiLetterDigests(t, s), want)

	execute(t, db, "DROP TRIGGER refuse")
	if out, talk, code := harness.Run(t, "dead", "replay", "--all", "--server", s.Admin); code != 0 {
		t.Fatalf("replay: exit %d\n%s%s", code, out, talk)
	}
	twice := slices.Sorted(slices.Values(slices.Concat(want, want)))
	equal(t, "the table after the replay", tableDigests(t, db, "CAST(body AS BLOB)"), twice)
	equal(t, "events over the API", apiDigests(t, s), twice)
	equal(t, "the export as JSON", jsonDigests(t, s), twice)
	equal(t, "the export as CSV", csvDigests(t, s), twice)
	if out, talk, code := harness.Run(t, "audit", "--server", s.Admin); code != 0 {
		t.Errorf("audit: exit %d\n%s%s", code, out, talk)
	}
	s.Stop()
	equal(t, "the files of dead letters", fileDigests(t, data), want)
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d requests, which are not the %d that were sent", what, len(got), len(want))
	}
}

// decoded undoes an encoding as any other program does.
func decoded(t *testing.T, text, encoding string) string {
	t.Helper()
	if encoding == "" {
		return text
	}
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil || encoding != "base64" {
		t.Fatalf("%q in %q: %v", text, encoding, err)
	}
	return string(decoded)
}

// headerIn reads the one that was sent from the JSON of all.
func headerIn(t *testing.T, text, encoding string) string {
	t.Helper()
	var headers map[string][]string
	if err := json.Unmarshal([]byte(text), &headers); err != nil || len(headers["X-Bytes"]) != 1 {
		t.Fatalf("headers %q: %v", text, err)
	}
	return decoded(t, headers["X-Bytes"][0], encoding)
}

// tableDigests reads a table of any database. body is an expression for its bytes.
func tableDigests(t *testing.T, db *sql.DB, body string) (digests []string) {
	t.Helper()
	rows, err := db.Query("SELECT query, query_encoding, content_type, content_type_encoding, headers, header_encoding, " + body + " FROM events")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var query, contentType, headers string
		var queryEncoding, typeEncoding, headerEncoding sql.NullString
		var body []byte
		if err := rows.Scan(&query, &queryEncoding, &contentType, &typeEncoding, &headers,
			&headerEncoding,
			&body); err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest(decoded(t, query, queryEncoding.String),
			decoded(t, contentType, typeEncoding.String), headerIn(t, headers, headerEncoding.String), body))
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return digests
}

// apiPages goes over the pages of a list, and calls visit with each.
func apiPages(s *harness.Server, path string, visit func() (into any, next *string, note func())) {
	for cursor := ""; ; {
		into, next, note := visit()
		s.Get(path+"&cursor="+cursor, into)
		note()
		if cursor = *next; cursor == "" {
			return
		}
	}
}

func apiDigests(t *testing.T, s *harness.Server) (digests []string) {
	t.Helper()
	apiPages(s, "/api/v1/events?limit=300", func() (any, *string, func()) {
		var page struct {
			Events     []*pillarbox.Event
			NextCursor string `json:"next_cursor"`
		}
		return &page, &page.NextCursor, func() {
			for _, event := range page.Events {
				digests = append(digests, digestOf(event))
			}
		}
	})
	return digests
}

func apiLetterDigests(t *testing.T, s *harness.Server) (digests []string) {
	t.Helper()
	apiPages(s, "/api/v1/dead-letters?limit=300", func() (any, *string, func()) {
		var page struct {
			DeadLetters []*pillarbox.DeadLetter `json:"dead_letters"`
			NextCursor  string                  `json:"next_cursor"`
		}
		return &page, &page.NextCursor, func() {
			for _, letter := range page.DeadLetters {
				digests = append(digests, digestOf(letter.Event))
			}
		}
	})
	return digests
}

func jsonDigests(t *testing.T, s *harness.Server) (digests []string) {
	t.Helper()
	out, _, _ := harness.Run(t, "events", "--limit", strconv.Itoa(3*sentRequests), "-o", "json",
		"--server", s.Admin)
	var list struct{ Events []*pillarbox.Event }
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	for _, event := range list.Events {
		digests = append(digests, digestOf(event))
	}
	return digests
}

func csvDigests(t *testing.T, s *harness.Server) (digests []string) {
	t.Helper()
	out, _, _ := harness.Run(t, "events", "--limit", strconv.Itoa(3*sentRequests), "-o", "csv",
		"--server", s.Admin)
	records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil || len(records) == 0 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	for _, record := range records[1:] {
		cell := func(name string) string { return record[slices.Index(records[0], name)] }
		body := cell("body")
		if encoding := cell("body_encoding"); encoding != "utf8" {
			body = decoded(t, body, encoding)
		}
		digests = append(digests, digest(decoded(t, cell("query"), cell("query_encoding")),
			decoded(t, cell("content_type"), cell("content_type_encoding")),
			headerIn(t, cell("headers"), cell("header_encoding")), []byte(body)))
	}
	return digests
}

func fileDigests(t *testing.T, data string) (digests []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(data, "dead-letters", "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	resolved, err := filepath.Glob(filepath.Join(data, "dead-letters", "*", "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, resolved...) {
		var letter pillarbox.DeadLetter
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &letter)
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		digests = append(digests, digestOf(letter.Event))
	}
	return digests
}
