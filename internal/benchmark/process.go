package benchmark

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const (
	startBound = 90 * time.Second // the slowest peer starts a virtual machine and a database
	stopBound  = 30 * time.Second
	logKept    = 8 << 10 // bytes
)

// process is a child that listens at an address.
type process struct {
	cmd    *exec.Cmd
	log    tail
	exited chan struct{} // closed when it is gone
	err    error         // how it ended; read after exited is closed
}

// tail keeps the last of what a process says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(len(t.text)-logKept, 0):]
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}

// Launch starts a program that listens at an address, and returns when it does.
func Launch(ctx context.Context, address, program string, args ...string) (*Running, error) {
	p := &process{cmd: exec.Command(program, args...), exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.SysProcAttr = childAttributes()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.exited)
	}()
	if err := p.waitUntilListening(ctx, address); err != nil {
		_ = p.stop() // the first error tells more
		return nil, err
	}
	return &Running{Address: address, Path: "/app", PID: p.cmd.Process.Pid, Stop: p.stop}, nil
}

func (p *process) waitUntilListening(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	for {
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended at its start: %v\n%s", p.cmd.Path, p.err, &p.log)
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen: %w\n%s", p.cmd.Path, ctx.Err(), &p.log)
		case <-time.After(10 * time.Millisecond):
		}
		if conn, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			return conn.Close()
		}
	}
}

// stop lets the process end its own children first.
func (p *process) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	select {
	case <-p.exited:
		return nil
	case <-time.After(stopBound):
	}
	if err := p.cmd.Process.Kill(); err != nil && err != os.ErrProcessDone {
		return err
	}
	<-p.exited
	return fmt.Errorf("%s did not stop in %v and was killed\n%s", p.cmd.Path, stopBound, &p.log)
}

// FreeAddress returns a loopback address that nobody listens on.
func FreeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}
