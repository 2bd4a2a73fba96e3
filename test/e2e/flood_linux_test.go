package e2e_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pillarbox/internal/benchmark"
	"pillarbox/internal/node/nodetest"
	"pillarbox/test/harness"
)

const (
	// floodPosts is how many posts a good client has stored, before and in a flood.
	floodPosts = 200
	// floodSlower is how much slower the slowest hundredth of them may be in it, with a second to
	// spare: bench measures it, and this fails where a good client waits for the flood.
	floodSlower = 50
)

// TestAGoodClientComesThroughAFlood of handshakes that never finish, and of requests that never end:
// each of its posts is stored, the server's memory is bounded, and the flood has come.
func TestAGoodClientComesThroughAFlood(t *testing.T) {
	dir, authority := t.TempDir(), nodetest.NewAuthority(t)
	cert, key := authority.Server(time.Time{}, "localhost")
	certFile, keyFile := nodetest.WriteFiles(t, dir, cert, key)
	config := filepath.Join(dir, "tls.yaml")
	text := "tls: { certificates: [{ cert: " + certFile + ", key: " + keyFile + " }] }\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err != nil {
		t.Fatal(err)
	}
	slow := int(min(10_000, files.Cur/2))
	for _, c := range []struct {
		name   string
		flood  benchmark.Flood
		args   []string
		begun  uint64 // handshakes that have to come
		memory uint64 // bytes that the flood may take
	}{
		{"handshakes", benchmark.Flood{Handshakes: 5000}, []string{"--config", config}, 3000, 256 << 20},
		{"slow requests", benchmark.Flood{Slow: slow}, nil, 0, uint64(slow)*connectionBytes() + 64<<20},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := harness.Start(t, t.TempDir(), append(c.args, "--roles", "accept,admin")...)
			client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
				TLSClientConfig: &tls.Config{RootCAs: authority.Pool, ServerName: "localhost"}}}
			alone := postAll(t, client, server.Public, func() bool { return false })
			before, err := benchmark.UsageOf(server.Pid())
			if err != nil {
				t.Fatal(err)
			}
			flooding, err := c.flood.Begin(t.Context(), strings.TrimPrefix(strings.TrimPrefix(server.Public, "https:"), "http:")[2:])
			if err != nil {
				t.Fatal(err)
			}
			beside := postAll(t, client, server.Public, func() bool { return flooding.Begun() < c.begun })
			after, err := benchmark.UsageOf(server.Pid())
			if err != nil {
				t.Fatal(err)
			}
			begun := flooding.Begun()
			if _, err := flooding.Stop(); err != nil {
				t.Error(err)
			}
			t.Logf("%d handshakes, %d slow requests; p99 %v, and %v alone; %d MiB of memory, and %d", begun, c.flood.Slow,
				beside, alone, after.Peak>>20, before.Peak>>20)
			if limit := floodSlower*alone + time.Second; beside > limit {
				t.Errorf("p99 is %v, and %v alone", beside, alone)
			}
			if after.Peak > before.Peak+c.memory {
				t.Errorf("the flood takes %d bytes, and may take %d", after.Peak-before.Peak, c.memory)
			}
		})
	}
}

// connectionBytes is what a connection may take whose request does not end: a buffer in the event loop,
// and on net/http a goroutine with its stack and two buffers, and what the garbage collector leaves.
func connectionBytes() uint64 {
	if os.Getenv("PILLARBOX_LISTEN_EXPRESS") == "false" {
		return 32 << 10
	}
	return 8 << 10
}

// postAll posts until enough is stored and more says no, each tenth time over a new connection. It
// returns what 99 of 100 take at most.
func postAll(t *testing.T, client *http.Client, url string, more func() bool) time.Duration {
	t.Helper()
	var took []time.Duration
	for n := 0; n < floodPosts || more(); n++ {
		start := time.Now()
		response, err := client.Post(url+"/app", "application/json", bytes.NewReader([]byte(`{"n":1}`)))
		if err != nil {
			t.Fatalf("post %d: %v", n, err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		if closing := response.Body.Close(); err != nil || closing != nil || response.StatusCode != http.StatusAccepted {
			t.Fatalf("post %d: %s, %v, %v", n, response.Status, err, closing)
		}
		took = append(took, time.Since(start))
		if n%10 == 0 {
			client.CloseIdleConnections()
		}
	}
	slices.Sort(took)
	return took[len(took)*99/100]
}
