package intake_test

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"

	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/intake"
)

// raw is one request as bytes, and what has to become of it: the answers, and what is stored. A
// refused one has a request behind it that nobody may take; a good one has one that everybody must.
// Every front does the same: a difference that is meant would be a row of its own here, with its
// reason.
type raw struct {
	text     string
	statuses []int // of the answers
	stored   []string
	methods  []string // of the requests, where they are not POST
	refused  bool     // the connection is closed, and nothing behind it is read
}

const (
	rawStart    = "POST /app HTTP/1.1\r\nHost: a\r\n"
	rawSmuggled = rawStart + "Content-Length: 8\r\n\r\nsmuggled"
	rawTail     = rawStart + "Content-Length: 4\r\n\r\ntail"
	rawBefore   = rawStart + "Content-Length: 6\r\n\r\nbefore"
	rawGet      = "GET /app HTTP/1.1\r\nHost: a\r\n\r\n"
)

func refusedWith(status int, texts ...string) (cases []raw) {
	for _, text := range texts {
		cases = append(cases, raw{text: text, statuses: []int{status}, refused: true})
	}
	return cases
}

func stores(body string, texts ...string) (cases []raw) {
	for _, text := range texts {
		cases = append(cases, raw{text: text, statuses: []int{202}, stored: []string{body}})
	}
	return cases
}

// badLengths are lengths and codings that two servers could read in two ways.
func badLengths() (texts []string) {
	lengths := []string{
		"3, 3", "3,4", "+3", "-3", "0x3", " 3 3", "3a", "", "\x0b3", "3\x00", "3.0", "1e0", "99999999999999999999", "٣", "\"3\"", "3;a",
		"03", "00", "000000000000000000003", "1234567890123456789", "3\x7f", "3\r", "3\t3", "NaN", "3_0",
	}
	for _, length := range lengths {
		texts = append(texts, rawStart+"Content-Length: "+length+"\r\n\r\nabc")
	}
	for _, coding := range []string{
		"chunked", " chunked", "Chunked", "identity", "chunked, chunked", "chunked, identity", "identity, chunked", "xchunked", "\"chunked\"",
		"chunked;a=b", "\x0bchunked", "cow",
	} {
		texts = append(texts,
			rawStart+"Content-Length: 3\r\nTransfer-Encoding: "+coding+"\r\n\r\n0\r\n\r\n",
			rawStart+"Transfer-Encoding: "+coding+"\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
			"POST /app HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: "+coding+"\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
			"POST /app HTTP/1.0\r\nTransfer-Encoding: "+coding+"\r\n\r\n0\r\n\r\n",
			rawStart+"transfer-encoding:"+coding+"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		)
		if !strings.EqualFold(strings.TrimSpace(coding), "chunked") || strings.Contains(coding, "\x0b") {
			texts = append(texts, rawStart+"Transfer-Encoding: "+coding+"\r\n\r\n0\r\n\r\n")
		}
	}
	return append(texts,
		rawStart+"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", rawStart+"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		rawStart+"Content-Length: 3\r\ncontent-length: 0\r\n\r\nabc",
		rawStart+strings.Repeat("X: y\r\n",
			100)+"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		rawStart+"X: "+strings.Repeat("x",
			10_000)+"\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
		"POST /app/batch HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET /app HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"PUT /app HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
	)
}

// badLines are header lines that are none.
func badLines() (texts []string) {
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "X-A", "Host"} {
		for _, line := range []string{
			"%s : 3", "%s\t: 3", " %s: 3", "\t%s: 3", "%s\x00: 3", "%s\x0b: 3", "\x0b%s: 3", "%s", "%s 3", "%s:\r3", "%s: 3\rX: y", "(%s): 3",
			"%s\xc3\xa9: 3", "%s: \x003", "%s: \x7f", "%s: 3\n", "%s: a\r\n b", "%s: a\r\n\tb", "%s: a\n b",
		} {
			texts = append(texts, rawStart+fmt.Sprintf(line, name)+"\r\nContent-Length: 3\r\n\r\nabc")
		}
	}
	return append(texts,
		rawStart+"Host: a\r\nContent-Length: 3\r\n\r\nabc", "POST /app HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
		"GET /app HTTP/1.1\r\n\r\n", rawStart+"Host: b\r\n\r\n", "POST /app HTTP/1.1\r\nHost: a b\r\nContent-Length: 3\r\n\r\nabc",
		"POST /app HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc", rawStart+"Content-Length: 3\n\r\nabc", rawStart+"Content-Length: 3\r\n\nabc",
		rawStart+"Content-Length: 3\r\r\n\r\nabc", "POST /app HTTP/1.1\r\n Host: a\r\nContent-Length: 3\r\n\r\nabc", "POST /app HTTP/1.1\r\n\r\n",
		rawStart+": 3\r\n\r\n", "GET /app HTTP/1.1\nHost: a\n\n", "GET /app HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", rawStart+"Expect : 100-continue\r\n\r\n",
	)
}

// badRequestLines are first lines, and what may not stand before them.
func badRequestLines() (texts []string) {
	for _, line := range []string{
		"POST /app HTTP/1.1 ", "POST  /app HTTP/1.1", "POST /app", "POST /app HTTP/1.1 HTTP/1.1", "POST /app\tHTTP/1.1", "POST /app http/1.1",
		"POST /app HTTP/01.1", "POST /app\x00 HTTP/1.1", " POST /app HTTP/1.1", "POST HTTP/1.1", "POST  HTTP/1.1", "POST app HTTP/1.1",
		"POST a:80 HTTP/1.1", "POST * HTTP/1.1", "CONNECT a:80 HTTP/1.1", "CONNECT /app HTTP/1.1", "P\x00ST /app HTTP/1.1", "POST /a\x7f HTTP/1.1",
		"POST /caf\xc3\xa9 HTTP/1.1", "POST /app HTTP/11", "POST /app HTTP/1.1x", "PILLARBOX-REFUSED / HTTP/1.1", "POST ftp://a/app HTTP/1.1", "POST /app\r HTTP/1.1",
		"\x00POST /app HTTP/1.1", "\tPOST /app HTTP/1.1", "\r\n\r\nPOST /app HTTP/1.1", "\nPOST /app HTTP/1.1", "\rPOST /app HTTP/1.1", ")POST /app HTTP/1.1",
	} {
		texts = append(texts, line+"\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
	}
	return texts
}

// badChunks are bodies that break their framing.
func badChunks() (texts []string) {
	for _, body := range []string{
		"3\nabc\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "3\r\nabc\r\n0\n\r\n", "3\r\nabc\r\n0\r\n\n", "3\r\nabcd\r\n0\r\n\r\n", "3\r\nabc0\r\n\r\n",
		"3 \r\nabc\r\n0\r\n\r\n", "3 ;a\r\nabc\r\n0\r\n\r\n", " 3\r\nabc\r\n0\r\n\r\n", "+3\r\nabc\r\n0\r\n\r\n", "-3\r\nabc\r\n0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n", "3g\r\nabc\r\n0\r\n\r\n",
		"\r\nabc\r\n0\r\n\r\n", ";a\r\nabc\r\n0\r\n\r\n", "3;\x00\r\nabc\r\n0\r\n\r\n", "3;\x0b\r\nabc\r\n0\r\n\r\n", "3;\x7f\r\nabc\r\n0\r\n\r\n", "3;a\rb\r\nabc\r\n0\r\n\r\n",
		"3;a\nabc\r\n0\r\n\r\n", "3a;\x01\r\nabc\r\n0\r\n\r\n", "00000000000000003\r\nabc\r\n0\r\n\r\n", "fffffffffffffffff\r\nabc", "ffffffffffffffff\r\nabc",
		"3\r\nabc\r\n0\r\nX : y\r\n\r\n", "3\r\nabc\r\n0\r\nX: y\n\r\n", "3\r\nabc\r\n0\r\nX: y\r\n\n", "3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n", "3\r\nabc\r\n0\r\n X: y\r\n\r\n",
		"3\r\nabc\r\n0\r\nX\r\n\r\n", "3\r\nabc\r\n0\r\nX: \x00\r\n\r\n", "3\r\nabc\r\n0\r\nContent-Length: 3\r\n\r\n", "3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"3\r\nabc\r\n0\r\nHost: b\r\n\r\n", "3\r\nabc\r\n0\r\nX: " + strings.Repeat("y",
			5000) + "\r\n\r\n", "3;" + strings.Repeat("y", 5000) + "\r\nabc\r\n0\r\n\r\n",
		"3\r\nabc\r\n0\r\n\rX: y\r\n\r\n", "3\r\nabc\r\r\n0\r\n\r\n", "3\r\r\nabc\r\n0\r\n\r\n",
	} {
		texts = append(texts, rawStart+"Transfer-Encoding: chunked\r\n\r\n"+body)
	}
	return texts
}

// goodRequests are odd, and have one meaning.
func goodRequests() []raw {
	const chunked = rawStart + "Transfer-Encoding: chunked\r\n\r\n"
	cases := stores("abc",
		rawStart+"Content-Length: 3\r\n\r\nabc", rawStart+"content-length:\t3 \r\n\r\nabc", "\r\n"+rawStart+"Content-Length: 3\r\n\r\nabc",
		chunked+"3\r\nabc\r\n0\r\n\r\n", chunked+"003\r\nabc\r\n000\r\n\r\n", chunked+"3;a=b\r\nabc\r\n0;c\r\n\r\n", chunked+"3; a=\"\xff\t\"\r\nabc\r\n0\r\n\r\n",
		chunked+"1\r\na\r\n2\r\nbc\r\n0\r\nX-A: b\r\nX-B:\r\n\r\n", rawStart+"transfer-encoding: CHUNKED\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "\r\n"+chunked+"3\r\nabc\r\n0\r\n\r\n",
		"POST http://b/app HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", "POST /%61pp?x#y HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		rawStart+"Content-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc", rawStart+"Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 3\r\n\r\nabc",
		rawStart+"X-A: caf\xc3\xa9\xff\r\nContent-Length: 3\r\n\r\nabc", rawStart+"X: "+strings.Repeat(
			"x", 9000)+"\r\nContent-Length: 3\r\n\r\nabc",
		rawStart+strings.Repeat("X: y\r\n",
			200)+"Content-Length: 3\r\n\r\nabc", "POST /app HTTP/1.1\r\nHost:\r\nContent-Length: 3\r\n\r\nabc",
	)
	const keep = "HTTP/1.0\r\nConnection: keep-alive\r\n"
	return append(append(cases, stores("", rawStart+"\r\n", rawStart+"Content-Length: 0\r\n\r\n",
		chunked+"0\r\n\r\n", chunked+"0\r\nX: y\r\n\r\n")...),
		raw{text: rawStart + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
			statuses: []int{100, 202}, stored: []string{"abc"}},
		raw{text: rawGet, statuses: []int{200}, methods: []string{"GET"}},
		raw{text: "HEAD /app HTTP/1.1\r\nHost: a\r\n\r\n", statuses: []int{200},
			methods: []string{"HEAD"}},
		raw{text: "GET /app HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", statuses: []int{200},
			methods: []string{"GET"}},
		raw{text: "PUT /app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", statuses: []int{405}},
		raw{text: "POST /none HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", statuses: []int{404}},
		raw{text: "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", statuses: []int{200}},
		raw{text: "\r\n" + rawGet, statuses: []int{200}, methods: []string{"GET"}},
		raw{text: rawBefore + "\r\n" + rawBefore, statuses: []int{202, 202},
			stored: []string{"before", "before"}},
		raw{text: "POST /app HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc", statuses: []int{202}, stored: []string{"abc"}, refused: true}, // it ends the connection
		raw{text: "POST /app " + keep + "Content-Length: 3\r\n\r\nabc", statuses: []int{202},
			stored: []string{"abc"}, refused: true},
		raw{text: rawStart + "Connection: close\r\nContent-Length: 3\r\n\r\nabc", statuses: []int{202},
			stored: []string{"abc"}, refused: true},
	)
}

func rawRequests() []raw {
	head := rawStart + "Content-Length: 3\r\nX: "
	return slices.Concat(
		refusedWith(400, badLengths()...), refusedWith(400, badLines()...), refusedWith(400,
			badRequestLines()...), refusedWith(400, badChunks()...),
		refusedWith(505, "POST /app HTTP/2.0\r\nHost: a\r\n\r\n",
			"POST /app HTTP/1.2\r\nHost: a\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /app HTTP/0.9\r\nHost: a\r\n\r\n"),
		refusedWith(431, head+strings.Repeat("x", 32<<10-len(head)-3)+"\r\n\r\nabc",
			head+strings.Repeat("x", 100_000), rawStart+strings.Repeat("X: y\r\n", 6000)+"\r\n"),
		stores("abc", head+strings.Repeat("x", 32<<10-len(head)-4)+"\r\n\r\nabc"),
		goodRequests(),
	)
}

// places are where a request stands on its connection: what goes before it, with an answer awaited
// or not.
var places = []struct {
	name     string
	before   string
	awaited  bool
	statuses []int
	methods  []string
	stored   []string
}{
	{name: "first"},
	{"after GET", rawGet, true, []int{200}, []string{"GET"}, nil},
	{"after POST", rawBefore, true, []int{202}, []string{"POST"}, []string{"before"}},
	{"pipelined", rawBefore + rawGet + rawBefore, false, []int{202, 200, 202},
		[]string{"POST", "GET", "POST"}, []string{"before", "before"}},
}

// pieces cut a text. Each is written by itself.
var pieces = map[string]func(text string) []string{
	"whole": func(text string) []string { return []string{text} },
	"bytes": func(text string) []string { return cutAt(text, max(1, len(text)/1000)) },
	"odd":   func(text string) []string { return cutAt(text, max(7, len(text)/100)) },
}

func cutAt(text string, size int) (all []string) {
	for piece := range slices.Chunk([]byte(text), size) {
		all = append(all, string(piece))
	}
	return all
}

// minRawCases is what each front has to have gone through.
const minRawCases = 2000

// TestRawRequests sends every raw request at every place of a connection in every kind of pieces,
// to the event loop, to net/http alone, and to a connection that the loop has handed over. What is
// stored, byte for byte, and what is counted as accepted decides, and then the answers and whether
// the connection was closed.
func TestRawRequests(t *testing.T) {
	for _, r := range []struct {
		name   string
		front  front
		handed bool
	}{{"net/http", front{}, false}, {"express", front{express: true}, false}, {"handed over",
		front{express: true}, true}} {
		for _, kind := range []string{"", overTLS, overUnix, overProxy} {
			t.Run(r.name+" over "+cmp.Or(kind, "TCP"), func(t *testing.T) {
				if r.front.express {
					needLoop(t)
				}
				n, f := 0, r.front
				f.kind = kind
				for _, c := range rawRequests() {
					n += runRaw(t, f, r.handed, c)
				}
				if n < minRawCases {
					t.Errorf("only %d cases", n)
				}
				t.Logf("%d cases", n)
			})
		}
	}
}

func runRaw(t *testing.T, f front, handed bool, c raw) (n int) {
	t.Helper()
	b := openPublic(t, intake.Options{})
	server := f.serve(t, b, 0, 0)
	defer server.stop()
	for _, place := range places {
		for name, pieces := range pieces {
			what := fmt.Sprintf("%s, %s: %.300q", place.name, name, c.text)
			before := b.Queued()
			wantStatuses, wantStored := slices.Concat(place.statuses,
				c.statuses), slices.Concat(place.stored, c.stored)
			methods := slices.Concat(place.methods, c.methods)
			behind := rawSmuggled
			if !c.refused {
				behind, wantStatuses, wantStored = rawTail, append(wantStatuses, 202), append(wantStored,
					"tail")
			}
			x := connectRaw(t, server)
			if handed {
				x.send(cutAt(rawGet, 100))
				x.answer("GET")
			}
			x.send([]string{place.before})
			if place.awaited {
				x.statuses = append(x.statuses, x.answer(methods[0]))
				methods = methods[1:]
			}
			x.send(pieces(c.text + behind))
			x.rest(methods, !c.refused)
			var got []string
			for _, event := range b.Queued()[len(before):] {
				got = append(got, string(event.Body))
			}
			if !slices.Equal(got, wantStored) {
				t.Errorf("%s: stored %q, want %q", what, got, wantStored)
			}
			if account, err := b.Queue.Account(destination); err != nil ||
				int(account.Accepted) != len(before)+len(wantStored) {
				t.Errorf("%s: %d accepted, want %d, %v", what, account.Accepted, len(before)+len(wantStored),
					err)
			}
			if !slices.Equal(x.statuses, wantStatuses) {
				t.Errorf("%s: answers %v, want %v", what, x.statuses, wantStatuses)
			}
			if n++; t.Failed() {
				t.FailNow() // a connection that is not closed costs its deadline
			}
		}
	}
	return n
}

// rawConn is the client's side.
type rawConn struct {
	t        *testing.T
	conn     duplex
	answers  *bufio.Reader
	statuses []int
}

func connectRaw(t *testing.T, server *served) *rawConn {
	t.Helper()
	conn := server.dial(t)
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &rawConn{t: t, conn: conn, answers: bufio.NewReader(conn)}
}

// send writes the pieces. Where the other side has closed meanwhile, the rest is nobody's.
func (x *rawConn) send(pieces []string) {
	for _, piece := range pieces {
		if _, err := io.WriteString(x.conn, piece); err != nil {
			return
		}
	}
}

func (x *rawConn) answer(method string) int {
	x.t.Helper()
	response, err := http.ReadResponse(x.answers, &http.Request{Method: method})
	if err != nil {
		x.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		x.t.Fatal(err)
	}
	return response.StatusCode
}

// rest reads to the end of the connection, which the server brings about; where all was good, after
// the client has ended its side.
func (x *rawConn) rest(methods []string, ends bool) {
	x.t.Helper()
	defer x.conn.Close()
	if ends {
		_ = x.conn.CloseWrite() // the server may have closed; then the answers say so
	}
	text, err := io.ReadAll(x.answers)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		x.t.Error("the connection was not closed")
	}
	for left := bufio.NewReader(bytes.NewReader(text)); ; {
		if _, err := left.Peek(1); err != nil {
			return
		}
		method := http.MethodPost
		if len(methods) > 0 {
			method, methods = methods[0], methods[1:]
		}
		response, err := http.ReadResponse(left, &http.Request{Method: method})
		if err != nil {
			x.t.Errorf("%v in %q", err, text)
			return
		}
		_, _ = io.Copy(io.Discard, response.Body)
		x.statuses = append(x.statuses, response.StatusCode)
	}
}
