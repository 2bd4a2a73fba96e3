package httpapi_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/httpapi"
)

// TestWhatHasArrivedIsCharged, and not what was announced.
func TestWhatHasArrivedIsCharged(t *testing.T) {
	b := openPublic(t, httpapi.PublicOptions{})
	body, sender := io.Pipe()
	request := httptest.NewRequest(http.MethodPost, "/app", body)
	request.ContentLength = 900
	done := make(chan struct{})
	go func() { defer close(done); b.public.ServeHTTP(httptest.NewRecorder(), request) }()
	if _, err := sender.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if held := b.public.Held(); held < 1 || held > 512 {
		t.Errorf("with a byte there, %d are charged", held)
	}
	if err := sender.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
	if held := b.public.Held(); held != 0 {
		t.Errorf("%d bytes are charged at the end", held)
	}
}

// TestUploadThatStandsStillIsCutOff with 408, on both fronts, and nothing of it is stored.
func TestUploadThatStandsStillIsCutOff(t *testing.T) {
	onFronts(t, func(t *testing.T, f front) {
		f.limits.MinBodyRate, f.limits.BodyGrace = 100, 50*time.Millisecond
		for _, request := range []string{
			"POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n" + strings.Repeat("x", 600),
			"POST /app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n384\r\n" + strings.Repeat("x", 600),
			rawGet + "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n" + strings.Repeat("x", 600),
		} {
			b := openPublic(t, httpapi.PublicOptions{})
			server := f.serve(t, b, time.Hour, 0)
			conn, err := net.Dial("tcp", server.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(conn, request)
			text, err := io.ReadAll(conn)
			if answer := string(text); !strings.Contains(answer, "HTTP/1.1 408 ") || !strings.Contains(answer, "http.min_body_rate") {
				t.Errorf("%.100q: %q, %v", request, answer, err)
			}
			server.stop()
			if len(b.queued()) != 0 {
				t.Error("something was stored")
			}
		}
	})
}
