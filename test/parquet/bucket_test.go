package parquet_test

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/internal/ledger"
	"pillarbox/test/harness"
	"pillarbox/test/standin/fakes3"
)

// TestEventsInABucket: the server is killed while it delivers to a bucket. In the end each receipt is one
// event, for the commands, and for who reads a copy of the bucket as a directory, through the view and all
// files. What is purged is gone from there.
func TestEventsInABucket(t *testing.T) {
	python(t, "duckdb")
	bucket := &fakes3.Bucket{}
	server := httptest.NewServer(bucket)
	t.Cleanup(server.Close)
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"} {
		t.Setenv(name, value)
	}
	data, config := t.TempDir(), filepath.Join(t.TempDir(), "p.yaml")
	text := "sources: { app: {}, other: {} }\ndestinations:\n  events: { url: 'parquet+s3://bucket/a/events?path_style=true', sources: [app, other], batch: { max_age: 20ms, max_events: 100 } }\n"
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	receipts := map[string]bool{}
	post := func(s *harness.Server, n int) {
		for i := range n {
			if id, ok := postOne(s.Public+[]string{"/app", "/other"}[i%2], fmt.Sprint(i)); ok {
				receipts[id] = true
			}
		}
	}
	s := harness.Start(t, data, "--config", config)
	post(s, 200)
	s.WaitUntil("some are stored", func(e ledger.Entry) bool { return e.Stored > 0 })
	post(s, 50)
	s.Kill()
	s = harness.Start(t, data, "--config", config)
	post(s, 50)
	entry := s.WaitUntil("all is stored", func(e ledger.Entry) bool { return e.Pending == 0 && e.Stored >= uint64(len(receipts)) })
	if entry.Dead != 0 || !entry.Balanced {
		t.Errorf("ledger %+v", entry)
	}
	var last string
	for last = range receipts {
		break
	}
	for _, args := range [][]string{{"audit"}, {"events", "--limit", "5"}, {"explain", last}} {
		if out, talk, code := harness.Run(t, append(args, "--server", s.Admin)...); code != 0 {
			t.Errorf("%v: exit %d\n%s%s", args, code, out, talk)
		}
	}
	wantReceipts(t, "the view", read(t, copyOf(t, bucket), "view"), receipts, entry.Stored)
	s.Stop()
	wantReceipts(t, "the glob", read(t, copyOf(t, bucket), "glob"), receipts, entry.Stored)
	if left, err := os.ReadDir(filepath.Join(data, "parquet-uploads", "events")); err != nil || len(left) > 0 {
		t.Errorf("unfinished files on the machine: %v, %v", left, err)
	}
	s = harness.Start(t, data, "--config", config)
	if out, talk, code := harness.Run(t, "purge", "events", "--older-than", "1us", "--source", "app", "--yes", "--server", s.Admin); code != 0 {
		t.Errorf("purge: exit %d\n%s%s", code, out, talk)
	}
	entry = s.WaitUntil("the purge is counted", func(e ledger.Entry) bool { return e.Purged > 0 })
	s.Stop()
	dir := copyOf(t, bucket)
	if lines := read(t, dir, "glob"); uint64(len(lines)) != entry.Stored-entry.Purged {
		t.Errorf("%d events are left, and %d of %d are purged", len(lines), entry.Purged, entry.Stored)
	}
	if _, err := os.Stat(filepath.Join(dir, "source=app")); err == nil {
		t.Error("files of purged events are left")
	}
}

// copyOf is the bucket as a directory, with a view of that.
func copyOf(t *testing.T, bucket *fakes3.Bucket) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for key, content := range bucket.Objects() {
		name := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(key, "a/events/")))
		if strings.HasSuffix(key, "/duckdb.sql") {
			text := string(content)
			if !strings.Contains(text, "'s3://bucket/a/events/'") || !strings.Contains(text, "CREATE PERSISTENT SECRET") {
				t.Fatalf("the view is not one of a bucket:\n%s", text)
			}
			content = []byte(strings.Replace(text, "s3://bucket/a/events", dir, 1))
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
