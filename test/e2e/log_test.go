package e2e_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"pillarbox/test/harness"
)

// patience is how long a machine under load may take for what takes no time.
const patience = time.Minute

// TestLogReaderCannotStopTheService: the reader of the log is gone, or stands still, from the first
// line on. The server starts, takes events, delivers them, counts what nobody reads, and stops when
// it is asked to.
func TestLogReaderCannotStopTheService(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, read, write *os.File){
		"gone":         func(t *testing.T, read, _ *os.File) { read.Close() },
		"stands still": func(t *testing.T, _, write *os.File) { fill(t, write) },
	} {
		t.Run(name, func(t *testing.T) {
			read, write, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer read.Close()
			defer write.Close()
			spoil(t, read, write)
			public, admin := freeAddress(t), freeAddress(t)
			server := exec.Command(harness.Binary(), "serve", "--data", t.TempDir(), "--listen", public,
				"--admin", admin)
			server.Stderr = write
			server.Env = append(os.Environ(), "PILLARBOX_LISTN=a unknown, which is a warning")
			if err := server.Start(); err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- server.Wait() }()
			t.Cleanup(func() { _ = server.Process.Kill() })
			untilReady(t, "http://"+admin+"/readyz", ended)
			request, _ := http.NewRequest(http.MethodPost, "http://"+public+"/app",
				strings.NewReader("read me"))
			request.Header.Set("Prefer", "wait=30")
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != http.StatusCreated {
				t.Errorf("the event is answered with %d", response.StatusCode)
			}
			if dropped := get(t, "http://"+admin+"/metrics"); name == "gone" &&
				strings.Contains(dropped, "pillarbox_log_dropped_lines_total 0\n") {
				t.Error("nothing is counted as dropped")
			}
			_ = server.Process.Signal(syscall.SIGTERM)
			select {
			case err := <-ended:
				if err != nil {
					t.Errorf("the stop: %v", err)
				}
			case <-time.After(patience):
				t.Error("the server does not stop")
			}
		})
	}
}

// TestCommandInAPipeEndsQuietly: who has seen enough of a list closes the pipe.
func TestCommandInAPipeEndsQuietly(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	read.Close()
	defer write.Close()
	command := exec.Command(harness.Binary(), "config", "example")
	command.Stdout = write
	var said strings.Builder
	command.Stderr = &said
	if err := command.Run(); said.Len() > 0 {
		t.Errorf("it says %q, and ends with %v", said.String(), err)
	}
}

// fill leaves no room in a pipe.
func fill(t *testing.T, write *os.File) {
	t.Helper()
	if err := write.SetWriteDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := write.Write(make([]byte, 1024)); err != nil {
			return
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func untilReady(t *testing.T, url string, ended <-chan error) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		if response, err := http.Get(url); err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-ended:
			t.Fatalf("the server has ended: %v", err)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not get ready")
		}
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
