package torture

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// freezeBound is how long a thread may take to leave the system call that it is in.
const freezeBound = 10 * time.Second

// Freeze is SIGSTOP. It returns when no thread runs any more, not even inside of a system call:
// what the server does next is nothing at all.
func (s *Server) Freeze() error {
	if err := s.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	deadline := time.Now().Add(freezeBound)
	for {
		running, err := s.running()
		if err == nil && running == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("the server does not freeze: %d threads run", running), err)
		}
		time.Sleep(200 * time.Microsecond)
	}
}

// running counts the threads that are not stopped.
func (s *Server) running() (int, error) {
	threads, err := procfs.AllThreads(s.Pid())
	if err != nil {
		return 0, err
	}
	if len(threads) == 0 {
		return 0, errors.New("it has ended")
	}
	running := 0
	for _, thread := range threads {
		stat, err := thread.Stat()
		if err != nil {
			return 0, err // it has just ended: others may have begun
		}
		if stat.State != "T" {
			running++
		}
	}
	return running, nil
}
