package packages_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"pillarbox/test/harness"
)

// node is a server of its own data directory that is restarted.
type node struct {
	t              *testing.T
	address, admin string
	args           []string
	listener       *os.File // that a service manager holds; nil: the server's own
	command        *exec.Cmd
	log            bytes.Buffer
}

func newNode(t *testing.T, settings string) *node {
	t.Helper()
	dir := shortDir(t)
	n := &node{t: t, address: freeAddress(t), admin: "unix:" + filepath.Join(dir, "admin")}
	file := write(t, filepath.Join(dir, "pillarbox.yaml"), settings)
	n.args = []string{"serve", "--config", file, "--data", filepath.Join(dir, "data"), "--listen", n.address, "--admin", n.admin}
	t.Cleanup(func() {
		if n.command != nil {
			_ = n.command.Process.Kill()
			_ = n.command.Wait()
		}
	})
	return n
}

func (n *node) start() {
	n.t.Helper()
	n.command = exec.Command(harness.Binary(), n.args...)
	if n.listener != nil {
		n.command = exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, harness.Binary()}, n.args...)...)
		n.command.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=pillarbox")
		n.command.ExtraFiles = []*os.File{n.listener}
	}
	n.command.Stderr = &n.log
	if err := n.command.Start(); err != nil {
		n.t.Fatal(err)
	}
	until(n.t, "the server is ready", func() bool {
		_, _, code := harness.Run(n.t, "health", "--ready", "--admin", n.admin)
		return code == 0
	})
}

// stop is SIGTERM; the server must end by itself.
func (n *node) stop() {
	n.t.Helper()
	if err := n.command.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatal(err)
	}
	if err := n.command.Wait(); err != nil {
		n.t.Fatalf("the server ended with %v: %s", err, n.log.String())
	}
	n.command = nil
}

// accepted is how many events the server has, as its ledger says.
func (n *node) accepted() int {
	n.t.Helper()
	out, talk, code := harness.Run(n.t, "audit", "-o", "json", "--admin", n.admin)
	var audit struct{ Accepted int }
	if err := json.Unmarshal([]byte(out), &audit); code != 0 || err != nil {
		n.t.Fatalf("audit: exit %d, %v: %s%s", code, err, out, talk)
	}
	return audit.Accepted
}

// load posts without an end and without a second try, and keeps what it got.
type load struct {
	posted   atomic.Int64
	stopping atomic.Bool
	running  sync.WaitGroup
	mu       sync.Mutex
	receipts []string // ids
	refused  []string // any other end of a post
}

// startLoad starts clients: each second one makes a connection for each post.
func startLoad(url string, clients int) *load {
	l := &load{}
	for i := range clients {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 1, MaxIdleConnsPerHost: 1}}
		l.running.Go(func() {
			pace := time.NewTicker(5 * time.Millisecond) // what a restart waits for is not to become a flood
			defer pace.Stop()
			for !l.stopping.Load() {
				l.post(client, url)
				<-pace.C
			}
		})
	}
	return l
}

func (l *load) post(client *http.Client, url string) {
	// no GetBody: net/http does not send it again either
	request, err := http.NewRequest(http.MethodPost, url, io.NopCloser(strings.NewReader("rolling")))
	if err != nil {
		panic(err)
	}
	request.ContentLength = int64(len("rolling"))
	var receipt struct {
		RequestID string `json:"request_id"`
	}
	response, err := client.Do(request)
	if err == nil {
		defer response.Body.Close()
		err = json.NewDecoder(response.Body).Decode(&receipt)
		_, _ = io.Copy(io.Discard, response.Body)
		if response.StatusCode != http.StatusAccepted {
			err = fmt.Errorf("%s", response.Status)
		}
	}
	l.posted.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.refused = append(l.refused, err.Error())
		return
	}
	l.receipts = append(l.receipts, receipt.RequestID)
}

// goOn waits until so many more posts have ended.
func (l *load) goOn(t *testing.T, more int64) {
	t.Helper()
	from := l.posted.Load()
	until(t, "the load goes on", func() bool { return l.posted.Load() >= from+more })
}

// end stops the clients; nothing may have been refused, and each receipt is of an event that one of
// the nodes has.
func (l *load) end(t *testing.T, nodes ...*node) {
	t.Helper()
	l.stopping.Store(true)
	l.running.Wait()
	if len(l.refused) > 0 {
		t.Errorf("of %d posts, %d were refused; the first: %.300s", l.posted.Load(), len(l.refused), l.refused[0])
	}
	if len(l.receipts) < 500 {
		t.Errorf("only %d posts were accepted", len(l.receipts))
	}
	missing, sum := map[string]bool{}, 0
	for _, id := range l.receipts {
		missing[id] = true
	}
	if len(missing) != len(l.receipts) {
		t.Errorf("%d receipts have %d ids", len(l.receipts), len(missing))
	}
	for _, n := range nodes {
		until(t, "everything is stored", func() bool {
			_, _, code := harness.Run(t, "audit", "--admin", n.admin)
			return code == 0
		})
		sum += n.accepted()
		for id := range n.stored() {
			delete(missing, id)
		}
	}
	t.Logf("%d posts, %d events", l.posted.Load(), sum)
	if len(missing) > 0 {
		t.Errorf("%d receipts are of events that are nowhere", len(missing))
	}
}

// stored reads the ids of all events that a node has stored.
func (n *node) stored() map[string]bool {
	n.t.Helper()
	ids := map[string]bool{}
	until(n.t, "all is stored", func() bool {
		clear(ids)
		out, talk, code := harness.Run(n.t, "events", "--admin", n.admin, "-o", "json", "--limit", "100000")
		var page struct {
			Events []struct {
				RequestID string `json:"request_id"`
			}
		}
		if err := json.Unmarshal([]byte(out), &page); code != 0 || err != nil {
			n.t.Fatalf("events: exit %d, %v: %s", code, err, talk)
		}
		for _, event := range page.Events {
			ids[event.RequestID] = true
		}
		return len(ids) >= n.accepted()
	})
	return ids
}

// TestRollingRestartBehindHaproxy: two servers behind the shipped configuration of haproxy are
// restarted one after the other under load. No client is refused, and nothing is lost.
func TestRollingRestartBehindHaproxy(t *testing.T) {
	need(t, "haproxy", "haproxy")
	const settings = "listen: { ready_path: /-/ready }\ntrusted_proxies: [127.0.0.0/8]\nshutdown: { drain_delay: 5s }\n"
	a, b := newNode(t, settings), newNode(t, settings)
	a.start()
	b.start()
	front := freeAddress(t)
	url := "http://" + front + "/app"
	dir := shortDir(t)
	stats := filepath.Join(dir, "stats")
	text := strings.NewReplacer(":80\n", front+"\n", "10.0.0.1:8080", a.address, "10.0.0.2:8080", b.address,
		"global\n", "global\n    stats socket "+stats+"\n").Replace(read(t, "deploy/haproxy/haproxy.cfg"))
	file := write(t, filepath.Join(dir, "haproxy.cfg"), text)
	must(t, "haproxy", "-c", "-q", "-f", file)
	balancer := exec.Command("haproxy", "-db", "-f", file)
	if err := balancer.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = balancer.Process.Kill(); _ = balancer.Wait() })
	sees := func(name, state string) {
		t.Helper()
		until(t, "haproxy sees "+name+" "+state, func() bool { return stateOf(stats, name) == state })
	}
	sees("a", "UP")
	sees("b", "UP")

	l := startLoad(url, 8)
	l.goOn(t, 500)
	for name, n := range map[string]*node{"a": a, "b": b} {
		n.stop()
		sees(name, "DOWN")
		l.goOn(t, 200)
		n.start()
		sees(name, "UP")
		l.goOn(t, 500)
	}
	l.end(t, a, b)
	if a.accepted() == 0 || b.accepted() == 0 {
		t.Errorf("one of them took nothing: %d, %d", a.accepted(), b.accepted())
	}
}

// stateOf is the state of a server as haproxy's statistics have it, and empty while they can't be had.
func stateOf(stats, name string) string {
	conn, err := net.Dial("unix", stats)
	if err != nil {
		return ""
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "show stat\n"); err != nil {
		return ""
	}
	text, err := io.ReadAll(conn)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Split(line, ","); fields[0] == "pillarbox" && fields[1] == name {
			return fields[17]
		}
	}
	return ""
}

// TestRestartBehindASocketOfSystemd: the server is restarted while somebody else holds its port, as
// systemd does. Whoever connects meanwhile waits, and is answered.
func TestRestartBehindASocketOfSystemd(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	n := newNode(t, "shutdown: { drain_delay: 2s }\n")
	n.listener = file
	n.args = append(n.args, "--listen", "systemd:pillarbox")
	n.start()
	l := startLoad("http://"+listener.Addr().String()+"/app", 8)
	for range 3 {
		l.goOn(t, 500)
		n.stop()
		n.start()
	}
	l.goOn(t, 200)
	l.end(t, n)
}
