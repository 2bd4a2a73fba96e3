package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	readyBound = 60 * time.Second
	stopBound  = 20 * time.Second
)

// needs are the programs of a peer, and how they are installed.
type needs struct {
	programs []string // each is a name on PATH, or places separated by |, in which it may be
	install  string
}

// missing says what is not there, and what to do about it.
func (n needs) missing() string {
	for _, program := range n.programs {
		if locate(program) == "" {
			name, _, _ := strings.Cut(program, "|")
			return fmt.Sprintf("%s is missing: %s", name, n.install)
		}
	}
	return ""
}

// locate returns the first place where a program is, or "".
func locate(places string) string {
	for place := range strings.SplitSeq(places, "|") {
		if found, err := exec.LookPath(place); err == nil {
			return found
		}
		if matches, _ := filepath.Glob(place); len(matches) > 0 {
			return matches[len(matches)-1]
		}
	}
	return ""
}

// child is a program that serves a peer.
type child struct {
	cmd    *exec.Cmd
	exited chan error // with room for the one result
}

// account is whom a program runs as where this process is root, which some refuse.
type account struct{ uid, gid uint32 }

// unprivileged finds an account without rights, or nil where this process is not root.
func unprivileged(names ...string) (*account, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range names {
		found, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(found.Uid, 10, 32)
		if err != nil {
			return nil, err
		}
		gid, err := strconv.ParseUint(found.Gid, 10, 32)
		if err != nil {
			return nil, err
		}
		return &account{uint32(uid), uint32(gid)}, nil
	}
	return nil, fmt.Errorf("none of the users %v exists, and this does not run as root", names)
}

// own gives a directory to the account.
func (a *account) own(dir string) error {
	if a == nil {
		return nil
	}
	return os.Chown(dir, int(a.uid), int(a.gid))
}

// prepare makes a command that ends with this process, however that ends.
func prepare(as *account, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if as != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: as.uid, Gid: as.gid}
	}
	return cmd
}

func start(cmd *exec.Cmd) (*child, error) {
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &child{cmd: cmd, exited: make(chan error, 1)}
	go func() { c.exited <- cmd.Wait() }()
	return c, nil
}

// waitFor polls until check succeeds.
func (c *child) waitFor(ctx context.Context, check func() error) error {
	deadline := time.Now().Add(readyBound)
	for {
		err := check()
		switch {
		case err == nil:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("%s is not ready: %w", c.cmd.Path, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-c.exited:
			c.exited <- err
			return fmt.Errorf("%s ended at its start: %v", c.cmd.Path, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// listening checks that somebody listens.
func listening(network, address string) func() error {
	return func() error {
		conn, err := net.DialTimeout(network, address, time.Second)
		if err != nil {
			return err
		}
		return conn.Close()
	}
}

// stop asks the child to end with a signal, and makes sure that it does.
func (c *child) stop(signal os.Signal) {
	_ = c.cmd.Process.Signal(signal) // it may be gone
	select {
	case <-c.exited:
	case <-time.After(stopBound):
		_ = c.cmd.Process.Kill()
		<-c.exited
	}
}

// untilEnd waits for the end of ctx, or of the child before it.
func (c *child) untilEnd(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-c.exited:
		c.exited <- err
		return fmt.Errorf("%s ended: %v", c.cmd.Path, err)
	}
}

// freePort is a port of loopback that nobody listens on.
func freePort() (int, error) {
	ports, err := freePorts(1)
	if err != nil {
		return 0, err
	}
	return ports[0], nil
}

// freePorts are different ports of loopback that nobody listens on.
func freePorts(n int) (ports []int, err error) {
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer listener.Close() // not before the others have theirs
		ports = append(ports, listener.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
