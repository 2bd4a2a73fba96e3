package intake_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"pillarbox/internal/admission"
	"pillarbox/internal/intake"
	"pillarbox/internal/signature"
	"pillarbox/internal/source"
)

func encoded(t *testing.T, coding, body string) string {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "deflate":
		w = zlib.NewWriter(&out)
	case "zstd":
		encoder, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		w = encoder
	default:
		w = gzip.NewWriter(&out)
	}
	if _, err := io.WriteString(w, body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestEncodedBodiesAreKeptDecoded with each coding, on each front.
func TestEncodedBodiesAreKeptDecoded(t *testing.T) { onKeyFronts(t, encodedBodies) }

func encodedBodies(b *keyBox) {
	t := b.t
	b.rules(source.Settings{MaxBody: 100_000})
	large := strings.Repeat(`{"n":"0123456789"}`, 5000) // more than the loop reads itself, encoded or not
	for _, body := range []string{"", "x", "\x00\xff\r\n", large} {
		for _, coding := range []string{"gzip", "x-gzip", "GZIP", "deflate", "zstd"} {
			before := len(b.Queued())
			b.send(202, "/app", encoded(t, coding, body), "Content-Encoding", coding)
			events := b.Queued()
			if len(events) != before+1 || string(events[before].Body) != body {
				t.Fatalf("%s of %d bytes is kept as %d bytes", coding, len(body), len(events[before].Body))
			}
			for _, field := range events[before].Header {
				if field.Name == "Content-Encoding" || field.Name == "Content-Length" {
					t.Errorf("%s is kept, of a body that has it no more", field.Name)
				}
			}
		}
	}
}

// TestEncodedBodiesThatAreRefused are broken, too large, attacks, or of a coding that nobody knows.
func TestEncodedBodiesThatAreRefused(t *testing.T) { onKeyFronts(t, refusedBodies) }

func refusedBodies(b *keyBox) {
	t := b.t
	b.rules(source.Settings{MaxBody: 4 << 20})
	good := encoded(t, "gzip", "hello, hello")
	for _, c := range []struct {
		status int
		body   string
		header []string
	}{
		{400, "x", []string{"Content-Encoding", "gzip"}},
		{400, good[:len(good)-1], []string{"Content-Encoding", "gzip"}},
		{400, good + "x", []string{"Content-Encoding", "gzip"}},
		{400, good, []string{"Content-Encoding", "zstd"}},
		{413, encoded(t, "gzip", strings.Repeat("\x00", 4<<20)), []string{"Content-Encoding", "gzip"}}, // 1,000 times as large
		{413, encoded(t, "zstd", strings.Repeat("abcdefgh", 1<<19+1)), []string{"Content-Encoding", "zstd"}},
		{415, good, []string{"Content-Encoding", "br"}},
		{415, good, []string{"Content-Encoding", "gzip, gzip"}},
		{415, good, []string{"Content-Encoding", "identity", "Content-Encoding", "br"}},
		{415, good, []string{"Content-Encoding", "gzip", "Content-Encoding", "gzip"}},
	} {
		got := b.send(c.status, "/app", c.body, c.header...)
		if c.status == 415 && got.Header.Get("Accept-Encoding") != "gzip, deflate, zstd" {
			t.Errorf("%v: Accept-Encoding %q", c.header, got.Header.Get("Accept-Encoding"))
		}
	}
	if n := len(b.Queued()); n != 0 {
		t.Errorf("%d events are stored", n)
	}
}

// TestEncodedBatches are split when they are decoded.
func TestEncodedBatches(t *testing.T) {
	onKeyFronts(t, func(b *keyBox) {
		b.send(202, "/app/batch", encoded(t, "gzip", "1\n2\n3\n"), "Content-Type", ndjson, "Content-Encoding", "gzip")
		if events := b.Queued(); len(events) != 3 || string(events[2].Body) != "3" {
			t.Errorf("%v", events)
		}
	})
}

// TestSignaturesAreOverWhatCame, and keys over what is in it.
func TestSignaturesAreOverWhatCame(t *testing.T) {
	onKeyFronts(t, func(b *keyBox) {
		verifier, err := signature.Compile(signature.Settings{Scheme: "github", Secrets: []string{"a-secret"}})
		if err != nil {
			t.Fatal(err)
		}
		b.rules(source.Settings{Signature: verifier, Key: "body:/id"})
		sign := func(text string) string {
			mac := hmac.New(sha256.New, []byte("a-secret"))
			mac.Write([]byte(text))
			return "sha256=" + hex.EncodeToString(mac.Sum(nil))
		}
		body := encoded(t, "gzip", `{"id":1}`)
		b.send(401, "/app", body, "Content-Encoding", "gzip", "X-Hub-Signature-256", sign(`{"id":1}`))
		first := b.send(202, "/app", body, "Content-Encoding", "gzip", "X-Hub-Signature-256", sign(body))
		plain := b.send(202, "/app", `{"id":1}`, "X-Hub-Signature-256", sign(`{"id":1}`))
		if first.body != plain.body {
			t.Errorf("%s, and %s plain", first.body, plain.body)
		}
	})
}

// TestDecodedBodiesCountForTheMemory of bodies in flight, on the front that holds them.
func TestDecodedBodiesCountForTheMemory(t *testing.T) {
	memory := admission.NewMemory(10_000)
	b := openBox(t, intake.Options{Memory: memory})
	server := front{name: "net/http"}.serve(t, b, 0, 0)
	k := &keyBox{box: b, t: t, server: server}
	k.rules(source.Settings{MaxBody: 100_000})
	large := encoded(t, "gzip", strings.Repeat("abcdefgh", 5000))
	if !memory.Grow(0, 5000) { // of another request; one that is alone gets what it needs
		t.Fatal("there is no memory")
	}
	k.send(503, "/app", large, "Content-Encoding", "gzip")
	if held := memory.Held(); held != 5000 {
		t.Errorf("%d bytes are held", held)
	}
	memory.Shrink(5000)
	k.send(202, "/app", large, "Content-Encoding", "gzip")
	if held := memory.Held(); held != 0 {
		t.Errorf("%d bytes are held", held)
	}
}
