package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/internal/posting"
	"pillarbox/internal/protocol"
)

// TestPostSaysWhatIsKnown of an event that has no receipt: nobody listened, somebody else answered,
// or nobody did.
func TestPostSaysWhatIsKnown(t *testing.T) {
	got := try(t, "post", "http://"+nobody(t)+"/app", "--body", "x")
	got.failsWith(t, exitFailed, "nothing was accepted", "connection refused")
	if strings.Contains(got.err.Error(), "not known") {
		t.Error(got.err)
	}
	stranger := httptest.NewServer(http.HandlerFunc(
		func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer stranger.Close()
	try(t, "post", stranger.URL, "--body", "x").failsWith(t, exitFailed, "answered 200", "not known",
		"no receipt")
	deaf := httptest.NewServer(http.HandlerFunc(
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer deaf.Close()
	try(t, "post", deaf.URL, "--body", "x").failsWith(t, exitFailed, "no answer from", "not known")
	var summary posting.Summary
	load := try(t, "post", "http://"+nobody(t)+"/app", "-n", "3", "-o", "json")
	if err := json.Unmarshal([]byte(load.out), &summary); err != nil || load.code != exitFailed ||
		summary.Unreached != 3 || summary.Unknown != 0 {
		t.Errorf("a load to nobody: exit %d, %+v, %v", load.code, summary, err)
	}
}

// TestPostToTheBatchPathTellsOfEachItem, and keeps the receipts.
func TestPostToTheBatchPathTellsOfEachItem(t *testing.T) {
	s := startServer(t, "")
	url, file := "http://"+s.serving.Public[0].Addr().String()+"/app/batch", filepath.Join(t.TempDir(),
		"receipts")
	for form, body := range map[string]string{"application/x-ndjson": "1\nbad\n2",
		"application/json": "[1,bad,2]"} {
		got := try(t, "post", url, "--body", body, "--content-type", form, "--receipts", file)
		got.failsWith(t, exitFailed, "1 of 3 events of the batch were not accepted", "number 2",
			"no JSON value")
		if strings.Count(got.out, "accepted") != 2 || strings.Count(got.out, "rejected") != 1 {
			t.Errorf("%s:\n%s", form, got.out)
		}
		if lines := linesOf(t, file); len(lines) != 2 || !strings.Contains(got.out, lines[0]) ||
			!strings.Contains(got.out, lines[1]) {
			t.Errorf("receipts %q of\n%s", lines, got.out)
		}
	}
	got := try(t, "post", url, "--body", "[1,2]", "-o", "json")
	var results []protocol.Rejection
	if err := json.Unmarshal([]byte(got.out), &results); err != nil || got.err != nil ||
		len(results) != 2 || results[1].Status != "accepted" {
		t.Errorf("%v, %v\n%s", err, got.err, got.out)
	}
}

// linesOf returns the request ids of a file of receipts.
func linesOf(t *testing.T, file string) (ids []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var receipt struct {
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal([]byte(line), &receipt); err != nil || receipt.RequestID == "" {
			t.Fatalf("%q: %v", line, err)
		}
		ids = append(ids, receipt.RequestID)
	}
	return ids
}

// TestReceiptOfOneEventIsKept as those of a load are.
func TestReceiptOfOneEventIsKept(t *testing.T) {
	s := startServer(t, "")
	file := filepath.Join(t.TempDir(), "receipts")
	for _, n := range []string{"1", "3"} {
		got := try(t, "post", "http://"+s.serving.Public[0].Addr().String()+"/app", "--body", "x", "-n", n,
			"--receipts", file)
		if ids := linesOf(t, file); got.err != nil || len(ids) != int(n[0]-'0') {
			t.Errorf("-n %s: %v, %d receipts", n, got.err, len(ids))
		}
	}
	try(t, "post", "http://"+s.serving.Public[0].Addr().String()+"/app", "--body", "x", "--receipts",
		"/nope/file").failsWith(t, exitFailed, "receipts")
}
