package load_test

import (
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/load"
)

// TestQuantilesAreNearTheTruth compares the histogram with sorted durations from nanoseconds to
// hours.
func TestQuantilesAreNearTheTruth(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 0))
	var halves [2]load.Histogram
	var all []time.Duration
	for i := range 10_000 {
		d := time.Duration(1) << dice.IntN(42)
		d += time.Duration(dice.Int64N(int64(d)))
		all = append(all, d)
		halves[i%2].Record(d)
	}
	slices.Sort(all)
	h := &halves[0]
	h.Add(&halves[1])
	for _, q := range []float64{0.0001, 0.1, 0.5, 0.9, 0.99, 0.999, 1} {
		want := all[max(int(q*float64(len(all))+0.5), 1)-1]
		if got := h.Quantile(q); got < want || float64(got) > float64(want)*1.016 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if h.Max() != all[len(all)-1] || h.Count() != uint64(len(all)) {
		t.Errorf("max %v, count %d", h.Max(), h.Count())
	}
}

func TestEdgesOfAHistogram(t *testing.T) {
	var h load.Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("nothing has a median")
	}
	for _, d := range []time.Duration{-1, 0, 1, 1<<63 - 1} {
		h.Record(d)
	}
	if h.Quantile(0.01) != 0 || h.Quantile(0.75) != 1 || h.Max() != 1<<63-1 {
		t.Errorf("%v %v %v", h.Quantile(0.01), h.Quantile(0.75), h.Max())
	}
}

// TestAnswersAreReadHoweverTheyArrive cuts two answers at every byte.
func TestAnswersAreReadHoweverTheyArrive(t *testing.T) {
	first := "HTTP/1.1 202 Accepted\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello"
	second := "HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n"
	for cut := range len(first) + 1 {
		got, err := load.ReadAnswers([]byte(first[:cut]), []byte(first[cut:]), []byte(second))
		if cut == len(first) {
			// The empty piece after a whole answer is no piece that a connection can deliver.
			got, err = load.ReadAnswers([]byte(first), []byte(second))
		}
		if err != nil || !reflect.DeepEqual(got, []int{202, 204}) {
			t.Errorf("cut at %d: %v, %v", cut, got, err)
		}
	}
}

func TestAnswersThatAreNotUnderstoodAreRefused(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\n",
		"HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
		"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nsurplus",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 20<<10),
		"SSH-2.0-OpenSSH\r\n\r\n",
	} {
		if got, err := load.ReadAnswers([]byte(text)); err == nil {
			t.Errorf("%.60q was read as %v", text, got)
		}
	}
}

func TestARequestHasOneEncoding(t *testing.T) {
	got := encode(t, load.Request{Path: "/app?x=1", Host: "h:1",
		Header: http.Header{"B": {"2"}, "A": {"1"}}, Body: []byte("{}")})
	if want := "POST /app?x=1 HTTP/1.1\r\nHost: h:1\r\nA: 1\r\nB: 2\r\nContent-Length: 2\r\n\r\n{}"; string(got) != want {
		t.Errorf("%q", got)
	}
	for _, r := range []load.Request{
		{}, {Host: "a\r\nb"}, {Host: "h", Path: "/ x"}, {Host: "h",
			Header: http.Header{"A": {"x\r\ny"}}}, {Host: "h", Header: http.Header{"A:": {"x"}}},
	} {
		if got, err := r.Encode(); err == nil {
			t.Errorf("%+v became %q", r, got)
		}
	}
}

func BenchmarkRecord(b *testing.B) {
	var h load.Histogram
	for b.Loop() {
		h.Record(1234567)
	}
}
