package decode_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"pillarbox/internal/decode"
	"pillarbox/internal/protocol"
)

func encode(t testing.TB, coding decode.Encoding, body []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case decode.Gzip:
		w = gzip.NewWriter(&out)
	case decode.Deflate:
		w = zlib.NewWriter(&out)
	case decode.Zstd:
		encoder, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		w = encoder
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

var codings = []decode.Encoding{decode.Gzip, decode.Deflate, decode.Zstd}

func random(n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	body := make([]byte, n)
	for i := range body {
		body[i] = byte(rng.Uint32())
	}
	return body
}

// TestBodiesComeBack at every size that matters, and by many at once.
func TestBodiesComeBack(t *testing.T) {
	var all sync.WaitGroup
	for _, coding := range codings {
		for _, size := range []int{0, 1, 511, 512, 513, 5000, 1 << 20} {
			for _, body := range [][]byte{random(size), []byte(strings.Repeat(`{"n":12345,"t":"abc"}`, size/21))} {
				encoded := encode(t, coding, body)
				all.Go(func() {
					got, err := decode.Body(coding, encoded, decode.Limits{Bytes: 1 << 20})
					if err != nil || !bytes.Equal(got, body) {
						t.Errorf("%s of %d bytes: %d bytes, %v", coding, size, len(got), err)
					}
				})
			}
		}
	}
	all.Wait()
}

func status(err error) int {
	if err == nil {
		return 0
	}
	return protocol.StatusOf(err)
}

// TestBrokenBodiesAreRefused cuts and changes each at every byte. What is taken all the same has all
// of the body: some bytes of a header mean nothing.
func TestBrokenBodiesAreRefused(t *testing.T) {
	body := random(300)
	for _, coding := range codings {
		encoded := encode(t, coding, body)
		for n := range encoded {
			if _, err := decode.Body(coding, encoded[:n], decode.Limits{Bytes: 1000}); status(err) != 400 && !(n == 0 && coding == decode.Zstd) {
				t.Errorf("%s, cut after %d bytes: %v", coding, n, err)
			}
			changed := bytes.Clone(encoded)
			changed[n] ^= 0x10
			got, err := decode.Body(coding, changed, decode.Limits{Bytes: 1000})
			if err == nil && !bytes.Equal(got, body) {
				t.Errorf("%s, changed at byte %d: %d bytes", coding, n, len(got))
			}
			if s := status(err); err != nil && s != 400 && s != 413 {
				t.Errorf("%s, changed at byte %d: %v", coding, n, err)
			}
		}
		if coding != decode.Deflate { // nothing says where a stream of zlib ends, but its own end
			if _, err := decode.Body(coding, append(encoded, "behind"...), decode.Limits{Bytes: 1000}); status(err) != 400 {
				t.Errorf("%s with something behind it: %v", coding, err)
			}
		}
	}
}

// TestLimitsOfSizeAndRatio: at them, and one byte over them.
func TestLimitsOfSizeAndRatio(t *testing.T) {
	for _, coding := range codings {
		body := random(1000)
		encoded := encode(t, coding, body)
		if _, err := decode.Body(coding, encoded, decode.Limits{Bytes: 1000}); err != nil {
			t.Errorf("%s at the limit: %v", coding, err)
		}
		_, err := decode.Body(coding, encoded, decode.Limits{Bytes: 999, Name: "a.limit"})
		if status(err) != 413 || !strings.Contains(err.Error(), "a.limit") {
			t.Errorf("%s over the limit: %v", coding, err)
		}
		bomb := encode(t, coding, make([]byte, 16<<20))
		asked := int64(0)
		_, err = decode.Body(coding, bomb, decode.Limits{Bytes: 16 << 20, Room: func(n int64) error {
			asked += n
			return nil
		}})
		if status(err) != 413 || !strings.Contains(err.Error(), "times as large") {
			t.Errorf("%s of zeros: %v", coding, err)
		}
		if most := max(decode.FreeBytes, decode.MaxRatio*int64(len(bomb))) + 1; asked > most {
			t.Errorf("%s of zeros takes %d bytes of memory, want %d at most", coding, asked, most)
		}
		small := encode(t, coding, make([]byte, 60<<10))
		if _, err := decode.Body(coding, small, decode.Limits{Bytes: 1 << 20}); err != nil {
			t.Errorf("%s of a few zeros: %v", coding, err)
		}
	}
}

func TestNoRoomIsPassedOn(t *testing.T) {
	full := errors.New("full")
	_, err := decode.Body(decode.Gzip, encode(t, decode.Gzip, random(1000)), decode.Limits{Bytes: 1000,
		Room: func(int64) error { return full }})
	if !errors.Is(err, full) {
		t.Error(err)
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		lines  string
		want   decode.Encoding
		status int
	}{
		{"", "", 0}, {"identity", "", 0}, {"GZip", decode.Gzip, 0}, {"x-gzip", decode.Gzip, 0}, {"identity, zstd", decode.Zstd, 0},
		{"deflate|", decode.Deflate, 0}, {"br", "", 415}, {"gzip, gzip", "", 415}, {"gzip|deflate", "", 415}, {"compress", "", 415},
	} {
		got, err := decode.Parse(strings.Split(c.lines, "|"))
		if got != c.want || status(err) != c.status {
			t.Errorf("%q: %q, %v", c.lines, got, err)
		}
	}
}

// FuzzBody decodes anything: within its limits, or not at all.
func FuzzBody(f *testing.F) {
	for i, coding := range codings {
		f.Add(uint8(i), encode(f, coding, []byte("hello, hello, hello")))
	}
	f.Fuzz(func(t *testing.T, coding uint8, encoded []byte) {
		const limit = 1 << 20
		body, err := decode.Body(codings[int(coding)%len(codings)], encoded, decode.Limits{Bytes: limit})
		if err == nil && (len(body) > limit || len(body) > max(decode.FreeBytes, decode.MaxRatio*len(encoded))) {
			t.Errorf("%d bytes of %d", len(body), len(encoded))
		}
		if s := status(err); err != nil && s != 400 && s != 413 {
			t.Errorf("%v", err)
		}
	})
}

func BenchmarkGzip1KiB(b *testing.B) {
	body := []byte(strings.Repeat(`{"id":"0123456789abcdef","kind":"temperature","value":21.5}`, 18))[:1024]
	encoded := encode(b, decode.Gzip, body)
	b.ReportAllocs()
	for range b.N {
		if _, err := decode.Body(decode.Gzip, encoded, decode.Limits{Bytes: 1 << 20}); err != nil {
			b.Fatal(err)
		}
	}
}
