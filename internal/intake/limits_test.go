package intake_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox/internal/admission"
	"pillarbox/internal/intake"
)

// TestWhatHasArrivedIsCharged, and not what was announced.
func TestWhatHasArrivedIsCharged(t *testing.T) {
	b := openPublic(t, intake.Options{})
	body, sender := io.Pipe()
	request := httptest.NewRequest(http.MethodPost, "/app", body)
	request.ContentLength = 900
	done := make(chan struct{})
	go func() { defer close(done); b.public.ServeHTTP(httptest.NewRecorder(), request) }()
	if _, err := sender.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if held := b.memory.Held(); held < 1 || held > 512 {
		t.Errorf("with a byte there, %d are charged", held)
	}
	if err := sender.Close(); err != nil {
		t.Fatal(err)
	}
	<-done
	if held := b.memory.Held(); held != 0 {
		t.Errorf("%d bytes are charged at the end", held)
	}
}

// TestUploadThatStandsStillIsCutOff with 408, on both fronts, and nothing of it is stored.
func TestUploadThatStandsStillIsCutOff(t *testing.T) {
	onListeners(t, func(t *testing.T, f front) {
		f.limits.MinBodyRate, f.limits.BodyGrace = 100, 50*time.Millisecond
		for _, request := range []string{
			"POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n" + strings.Repeat("x", 600),
			"POST /app HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n384\r\n" + strings.Repeat(
				"x", 600),
			rawGet + "POST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n" + strings.Repeat("x",
				600),
		} {
			b := openPublic(t, intake.Options{})
			server := f.serve(t, b, time.Hour, 0)
			conn := server.dial(t)
			defer conn.Close()
			if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(conn, request)
			text, err := io.ReadAll(conn)
			if answer := string(text); !strings.Contains(answer, "HTTP/1.1 408 ") ||
				!strings.Contains(answer, "http.min_body_rate") {
				t.Errorf("%.100q: %q, %v", request, answer, err)
			}
			server.stop()
			if len(b.Queued()) != 0 {
				t.Error("something was stored")
			}
		}
	})
}

// dialLimited begins a connection, with a generous deadline.
func dialLimited(t *testing.T, addr string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return conn, bufio.NewReader(conn)
}

func wantStatus(t *testing.T, answers *bufio.Reader, status int) {
	t.Helper()
	response, err := http.ReadResponse(answers, nil)
	if err != nil || response.StatusCode != status {
		t.Fatalf("answer %v, %v, want %d", response, err, status)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Fatal(err)
	}
}

// TestTheLongestIdleMakesRoom: where all connections are taken, the one that has rested for the
// longest time goes for a pending, be it in the loop, handed over or at net/http, and one that is
// in the midst of a request stays.
func TestTheLongestIdleMakesRoom(t *testing.T) {
	for _, first := range []string{rawBefore, rawGet} {
		onFronts(t, func(t *testing.T, f front) {
			closed := map[admission.Reason]*atomic.Int64{admission.ForRoom: {}, admission.OverItsBudget: {}}
			f.limits.MaxConnections = 3
			f.limits.Closed = func(reason admission.Reason) { closed[reason].Add(1) }
			b := openPublic(t, intake.Options{})
			server := f.serve(t, b, time.Hour, 0)
			oldest, oldestAnswers := dialLimited(t, server.addr)
			fmt.Fprint(oldest, first)
			wantStatus(t, oldestAnswers, map[string]int{rawBefore: 202, rawGet: 200}[first])
			time.Sleep(admission.LeastIdle) // a rest begins after its answer has gone out, and may be noted after a younger one
			busy, busyAnswers := dialLimited(t, server.addr)
			fmt.Fprint(busy, rawBefore[:len(rawBefore)-1]) // a byte is missing
			younger, youngerAnswers := dialLimited(t, server.addr)
			fmt.Fprint(younger, rawBefore)
			wantStatus(t, youngerAnswers, 202)
			pending, pendingAnswers := dialLimited(t, server.addr)
			fmt.Fprint(pending, rawTail)
			wantStatus(t, pendingAnswers, 202)
			if text, err := io.ReadAll(oldestAnswers); len(text) > 0 || err != nil {
				t.Errorf("the one that has rested for the longest time gets %q, %v", text, err)
			}
			fmt.Fprint(younger, rawBefore)
			wantStatus(t, youngerAnswers, 202)
			fmt.Fprint(busy, rawBefore[len(rawBefore)-1:])
			wantStatus(t, busyAnswers, 202)
			if room, address := closed[admission.ForRoom].Load(), closed[admission.OverItsBudget].Load(); room != 1 || address != 0 {
				t.Errorf("%d were closed for room, and %d for their address", room, address)
			}
		})
	}
}

// TestConnectionsOfOneAddressAreLimited, with those that were handed over, and one that goes makes
// room.
func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	onFronts(t, func(t *testing.T, f front) {
		var closed atomic.Int64
		f.limits.MaxPerAddress = 2
		f.limits.Closed = func(reason admission.Reason) { closed.Add(1) }
		b := openPublic(t, intake.Options{})
		server := f.serve(t, b, 0, 0)
		first, firstAnswers := dialLimited(t, server.addr)
		fmt.Fprint(first, rawBefore)
		wantStatus(t, firstAnswers, 202)
		moved, movedAnswers := dialLimited(t, server.addr)
		fmt.Fprint(moved, rawGet)
		wantStatus(t, movedAnswers, 200)
		_, refused := dialLimited(t, server.addr)
		if text, _ := io.ReadAll(refused); len(text) > 0 { // a reset is an end too
			t.Errorf("the third gets %q", text)
		}
		if n := closed.Load(); n != 1 {
			t.Errorf("%d are counted", n)
		}
		moved.Close()
		for deadline := time.Now().Add(30 * time.Second); ; {
			again, answers := dialLimited(t, server.addr)
			fmt.Fprint(again, rawTail)
			if _, err := answers.Peek(1); err == nil {
				wantStatus(t, answers, 202)
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("one that has gone counts on")
			}
		}
	})
}
