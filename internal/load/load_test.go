package load_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox/internal/load"
)

// drivers are the ways to run a load: what this system has, and what every system has.
var drivers = map[string]func(context.Context, load.Options) (*load.Result, error){
	"system": load.Run, "goroutines": load.RunGoroutines,
}

// eachDriver runs a test with every driver against a handler.
func eachDriver(t *testing.T, handler http.HandlerFunc, o load.Options, body int,
	check func(t *testing.T, r *load.Result)) {
	for name, run := range drivers {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(handler)
			defer server.Close()
			o.Address = server.Listener.Addr().String()
			if o.Request == nil {
				o.Request = encode(t, load.Request{Path: "/app", Host: "test",
					Body: []byte(strings.Repeat("x", body))})
			}
			result, err := run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			check(t, result)
		})
	}
}

func encode(t *testing.T, r load.Request) []byte {
	t.Helper()
	encoded, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return encoded
}

// TestEveryRequestOfAClosedLoopIsAnswered: the server sees each request whole, and the generator
// counts each once.
func TestEveryRequestOfAClosedLoopIsAnswered(t *testing.T) {
	for _, body := range []int{200, 3 << 20} { // the second is more than the buffers of a connection hold
		var served atomic.Uint64
		handler := func(w http.ResponseWriter, r *http.Request) {
			if n, err := io.Copy(io.Discard, r.Body); err != nil || n != int64(body) {
				t.Errorf("read %d bytes of a body, %v", n, err)
			}
			served.Add(1)
			w.WriteHeader(http.StatusAccepted)
		}
		o := load.Options{Connections: 5, Threads: 2, Duration: 100 * time.Millisecond}
		eachDriver(t, handler, o, body, func(t *testing.T, r *load.Result) {
			if n := served.Swap(0); r.Answers != n || n < 5 || r.Statuses[2] != n ||
				r.Latency.Count() != n || r.Failed() != 0 {
				t.Errorf("%d answers, %v, %d latencies, %d failed, %v; the server answered %d", r.Answers,
					r.Statuses, r.Latency.Count(), r.Failed(), r.FirstError, n)
			}
			if r.Late > 5 || r.PerSecond() <= 0 {
				t.Errorf("%d late, %v per second", r.Late, r.PerSecond())
			}
		})
	}
}

// TestAStallIsNotExcused: in an open loop the requests that were due while the server stalled count
// from when they were due. With one slow answer of a second and a hundred requests per second, half
// of them waited for 500 ms.
func TestAStallIsNotExcused(t *testing.T) {
	const stall = time.Second
	var first atomic.Bool
	handler := func(http.ResponseWriter, *http.Request) {
		if !first.Swap(true) {
			time.Sleep(stall) // the server stalls for real: the generator runs on the real clock
		}
	}
	o := load.Options{Connections: 1, Threads: 1, Rate: 100, Duration: stall}
	eachDriver(t, handler, o, 1, func(t *testing.T, r *load.Result) {
		first.Store(false)
		if r.Answers != 100 || r.Failed() != 0 {
			t.Fatalf("%d answers, %d failed, %v", r.Answers, r.Failed(), r.FirstError)
		}
		if half := r.Latency.Quantile(0.5); half < stall/4 || half > 2*stall {
			t.Errorf("half of the requests waited for %v, want about %v", half, stall/2)
		}
		if r.Latency.Max() < stall {
			t.Errorf("the longest wait is %v", r.Latency.Max())
		}
	})
}

// TestTheRateIsKept: with free connections an open loop sends what is due, and no more.
func TestTheRateIsKept(t *testing.T) {
	o := load.Options{Connections: 8, Threads: 2, Rate: 1000, Duration: 300 * time.Millisecond}
	eachDriver(t, func(http.ResponseWriter, *http.Request) {}, o, 1,
		func(t *testing.T, r *load.Result) {
			if r.Answers < 300 || r.Answers > 302 || r.Failed() != 0 || r.Lag.Count() != r.Answers {
				t.Errorf("%d answers, want 300; %d failed, %v", r.Answers, r.Failed(), r.FirstError)
			}
		})
}

// TestNoAnswerIsNoSuccess: what a server never answers is counted as that, and does not keep the
// run.
func TestNoAnswerIsNoSuccess(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	o := load.Options{Connections: 3, Threads: 1, Duration: 50 * time.Millisecond,
		Grace: 50 * time.Millisecond}
	handler := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}
	eachDriver(t, handler, o, 0, func(t *testing.T, r *load.Result) {
		if r.Answers != 0 || r.Unanswered != 3 || r.Failed() != 3 {
			t.Errorf("%d answers, %d unanswered, %d failed", r.Answers, r.Unanswered, r.Failed())
		}
	})
}

// TestRefusalsAndNewConnections: a status other than 2xx is a failure, and a server may end a
// connection with an answer as often as it likes.
func TestRefusalsAndNewConnections(t *testing.T) {
	var n atomic.Int64
	handler := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		if n.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
	o := load.Options{Connections: 2, Threads: 1, Duration: 100 * time.Millisecond}
	eachDriver(t, handler, o, 10, func(t *testing.T, r *load.Result) {
		if r.Errors != 0 || r.Statuses[5] == 0 || r.Statuses[2]+r.Statuses[5] != r.Answers ||
			r.Failed() != r.Statuses[5] {
			t.Errorf("%d errors (%v), %v of %d, %d failed", r.Errors, r.FirstError, r.Statuses, r.Answers,
				r.Failed())
		}
	})
}

// TestBrokenConnectionsEndTheRun: a server that cuts every connection is reported, and is not
// hammered for ever.
func TestBrokenConnectionsEndTheRun(t *testing.T) {
	handler := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for _, rate := range []float64{0, 5000} {
		o := load.Options{Connections: 2, Threads: 1, Rate: rate, Duration: time.Minute, MaxErrors: 20}
		eachDriver(t, handler, o, 10, func(t *testing.T, r *load.Result) {
			if r.Answers != 0 || r.Errors < 20 || r.FirstError == nil {
				t.Errorf("%d answers, %d errors, %v", r.Answers, r.Errors, r.FirstError)
			}
		})
	}
}

func TestARunThatCantBeginIsAnError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	listener.Close()
	good := load.Options{Address: nobody, Request: []byte("x"), Connections: 1, Duration: time.Second}
	for name, change := range map[string]func(o *load.Options){
		"nobody listens": func(*load.Options) {},
		"no address":     func(o *load.Options) { o.Address = "" },
		"no request":     func(o *load.Options) { o.Request = nil },
		"no connections": func(o *load.Options) { o.Connections = 0 },
		"rate":           func(o *load.Options) { o.Rate = -1 },
		"duration":       func(o *load.Options) { o.Duration = 0 },
		"threads":        func(o *load.Options) { o.Threads = -1 },
	} {
		for driver, run := range drivers {
			o := good
			change(&o)
			if _, err := run(t.Context(), o); err == nil {
				t.Errorf("%s: %s ran", driver, name)
			}
		}
	}
}

// TestARunEndsWithItsContext in the middle of everything.
func TestARunEndsWithItsContext(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	for name, run := range drivers {
		for _, rate := range []float64{0, 10} {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			start := time.Now()
			_, err := run(ctx, load.Options{
				Address: server.Listener.Addr().String(), Connections: 2, Rate: rate, Duration: time.Minute,
				Request: encode(t, load.Request{Host: "test"}),
			})
			if took := time.Since(start); err != nil || took > 10*time.Second {
				t.Errorf("%s: %v after %v", name, err, took)
			}
			cancel()
		}
	}
}

// TestSerialsAreOfOneRequestEach, with both drivers.
func TestSerialsAreOfOneRequestEach(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	handler := func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.Header.Get("X-Serial")]++
	}
	o := load.Options{Connections: 4, Duration: 100 * time.Millisecond, Request: encode(t, load.Request{Path: "/app",
		Host: "test", Header: http.Header{"X-Serial": {load.Serial}}})}
	eachDriver(t, handler, o, 1, func(t *testing.T, _ *load.Result) {
		mu.Lock()
		defer mu.Unlock()
		for serial, times := range seen {
			if times != 1 || len(serial) != len(load.Serial) || serial == load.Serial {
				t.Errorf("%q was sent %d times", serial, times)
			}
		}
		if len(seen) == 0 {
			t.Error("nothing came")
		}
	})
}

// TestSerialsComeAgain: those of a list are all sent, about as often.
func TestSerialsComeAgain(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]int{}
	handler := func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.Header.Get("X-Serial")]++
	}
	serials := &load.Serials{Count: 10, Step: 7}
	o := load.Options{Connections: 2, Duration: 100 * time.Millisecond, Serials: serials,
		Request: encode(t, load.Request{Path: "/app", Host: "test", Header: http.Header{"X-Serial": {load.Serial}}})}
	eachDriver(t, handler, o, 1, func(t *testing.T, result *load.Result) {
		mu.Lock()
		defer mu.Unlock()
		for n := range min(uint64(10), result.Answers) {
			if text := fmt.Sprintf("%016x", n*7%10); seen[text] == 0 {
				t.Errorf("%s was not sent", text)
			}
		}
		if len(seen) > 10 || len(seen) == 0 {
			t.Errorf("%d numbers were sent", len(seen))
		}
	})
}
