package telemetry

import (
	"errors"
	"io"
	"slices"
	"sync"
	"time"
)

// DefaultLineBytes is how much of a log may wait for its reader.
const DefaultLineBytes = 1 << 20

// Lines hands the lines of a log on to a writer that may be slow, stand still, or be gone. A Write
// never waits and never fails: a line that has no room, or that the writer does not take, is
// dropped and counted. All methods may be called concurrently.
type Lines struct {
	to   io.Writer
	room int

	mu      sync.Mutex // guards what follows
	waiting [][]byte
	bytes   int    // of waiting
	dropped uint64 // since New
	told    uint64 // of these, what tell was told
	tell    func(dropped uint64)
	closed  bool

	wake chan struct{}
	done chan struct{} // closed when the writer has got everything after Close
}

// NewLines starts to hand lines on to a writer. room is how many bytes may wait; 0 is
// DefaultLineBytes.
func NewLines(to io.Writer, room int) *Lines {
	if room == 0 {
		room = DefaultLineBytes
	}
	l := &Lines{to: to, room: room, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go l.run()
	return l
}

// Tell sets a function that is told how many lines were dropped, once the writer takes lines again.
// It may write to l.
func (l *Lines) Tell(tell func(dropped uint64)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tell = tell
}

// Write takes one line, and keeps a copy of it or drops it. It returns len(line) and no error,
// always.
func (l *Lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.bytes+len(line) > l.room {
		l.dropped++
		return len(line), nil
	}
	l.waiting, l.bytes = append(l.waiting, slices.Clone(line)), l.bytes+len(line)
	l.signal()
	return len(line), nil
}

func (l *Lines) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Dropped returns how many lines were dropped.
func (l *Lines) Dropped() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped
}

// errLinesLeft says that the writer did not take all lines in time.
var errLinesLeft = errors.New("the reader of the log does not take what is left")

// Close waits until the writer has got all lines, but no longer than that. What a writer that
// stands still has in hand stays with it; it must not be closed after an error. Later lines are
// dropped.
func (l *Lines) Close(within time.Duration) error {
	l.mu.Lock()
	l.closed = true
	l.signal()
	l.mu.Unlock()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-l.done:
		return nil
	case <-timer.C:
		return errLinesLeft
	}
}

// run writes until Close. Where the writer stands still it never returns, and nobody waits for it
// but Close, for a while.
func (l *Lines) run() {
	defer close(l.done)
	for {
		line, more := l.next()
		if line == nil && !more {
			return
		}
		if line == nil {
			<-l.wake
			continue
		}
		_, err := l.to.Write(line)
		l.written(len(line), err)
	}
}

// next returns the oldest line, if there is one. There are no more after the last one before Close.
func (l *Lines) next() (line []byte, more bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return nil, !l.closed
	}
	line, l.waiting = l.waiting[0], l.waiting[1:]
	return line, true
}

// written notes what became of a line. After one that was taken, those that were not are told of.
func (l *Lines) written(bytes int, err error) {
	l.mu.Lock()
	l.bytes -= bytes
	if err != nil {
		l.dropped++
	}
	dropped, tell := l.dropped-l.told, l.tell
	if err != nil || dropped == 0 || tell == nil || l.closed {
		l.mu.Unlock()
		return
	}
	l.told = l.dropped
	l.mu.Unlock()
	tell(dropped)
}
