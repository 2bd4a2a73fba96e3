package e2e_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pillarbox/internal/ledger"
	"pillarbox/internal/torture"
	"pillarbox/test/harness"
)

// TestClientsLeaveDescriptorsToTheRest: with few descriptors and more clients than that, events are
// accepted and delivered, the admin API answers, and the log says once what was lowered.
func TestClientsLeaveDescriptorsToTheRest(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs ulimit and /dev/fd")
	}
	for _, limit := range []int{64, 256} {
		for _, express := range []bool{true, false} {
			t.Run(fmt.Sprintf("%d, express %v", limit, express), func(t *testing.T) {
				script := filepath.Join(t.TempDir(), "limited")
				text := fmt.Sprintf("#!/bin/sh\nulimit -n %d\nPILLARBOX_LISTEN_EXPRESS=%v exec %s \"$@\"\n",
					limit, express, harness.Binary())
				if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
					t.Fatal(err)
				}
				server, err := torture.Start(t.Context(), script, t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(server.End)
				address, err := url.Parse(server.Public)
				if err != nil {
					t.Fatal(err)
				}
				for range 2 * limit { // they say nothing, and stay
					conn, err := net.Dial("tcp", address.Host)
					if err != nil {
						t.Fatal(err)
					}
					defer conn.Close()
				}
				const n = 5
				for i := range n {
					response, body := post(t, server.Public+"/app", "text/plain", fmt.Appendf(nil, "%d", i))
					if response.StatusCode != http.StatusAccepted {
						t.Fatalf("%d %s", response.StatusCode, body)
					}
				}
				if _, err := server.WaitUntil("all are stored",
					func(entry ledger.Entry) bool { return entry.Stored == n }); err != nil {
					t.Error(err)
				}
				var status map[string]any
				if err := server.Get("/api/v1/status", &status); err != nil {
					t.Error(err)
				}
				log := server.Log()
				if strings.Count(log, "http.max_connections is lowered") != 1 ||
					strings.Count(log, "newcomers wait") > 2 || strings.Contains(log, "too many open files") {
					t.Error(log)
				}
			})
		}
	}
}
