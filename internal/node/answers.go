package node

import (
	"context"
	"fmt"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/ledger"
)

// patience is how long a person or a scrape waits for numbers that may hang: a part that waits for
// its disk may hold its lock.
const patience = time.Second

// lastAnswers keeps what was answered last, for those who ask while nothing answers. The zero value
// is ready.
type lastAnswers struct {
	mu    sync.Mutex
	known map[string]*lastAnswer
}

type lastAnswer struct {
	value  any // nil where there was none yet
	stuck  int // calls that have not returned in time
	number int // of calls
	newest int // number of the call that value is of
}

// answerOf calls a function, and returns what an earlier call of it has returned where this one
// takes too long. While one is stuck, no other one is begun.
func answerOf[T any](answers *lastAnswers, name string, call func() (T, error)) (T, error) {
	a, number, stuck := answers.begin(name)
	if stuck {
		return lastOf[T](answers, a, name)
	}
	type result struct {
		value T
		err   error
	}
	returned := make(chan result, 1)
	go func() {
		value, err := call()
		if err == nil {
			answers.keep(a, number, value)
		}
		returned <- result{value, err}
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case r := <-returned:
		return r.value, r.err
	case <-timer.C:
	}
	answers.stick(a, 1)
	go func() {
		<-returned
		answers.stick(a, -1)
	}()
	return lastOf[T](answers, a, name)
}

func (l *lastAnswers) begin(name string) (a *lastAnswer, number int, stuck bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known = map[string]*lastAnswer{}
	}
	if l.known[name] == nil {
		l.known[name] = &lastAnswer{}
	}
	a = l.known[name]
	a.number++
	return a, a.number, a.stuck > 0
}

func (l *lastAnswers) keep(a *lastAnswer, number int, value any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number > a.newest {
		a.value, a.newest = value, number
	}
}

func (l *lastAnswers) stick(a *lastAnswer, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a.stuck += n
}

func lastOf[T any](l *lastAnswers, a *lastAnswer, name string) (T, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if value, known := a.value.(T); known {
		return value, nil
	}
	var none T
	return none, fmt.Errorf("%s can't be told: nothing has answered for %s: %w", name, patience,
		pillarbox.ErrUnavailable)
}

// account is that of the queue without the canary's events, or the last one where the queue hangs.
func (n *Node) account(destination string) (pillarbox.Account, error) {
	account, _, err := n.accounts(destination)
	return account, err
}

// accounts returns how many events of the canary there were besides, too.
func (n *Node) accounts(destination string) (users pillarbox.Account, canary uint64, err error) {
	whole, err := answerOf(&n.answers, "the account of "+destination,
		func() (pillarbox.Account, error) { return n.queue.Account(destination) })
	users, canary = whole.WithoutCanary(n.canary.Waiting(destination))
	return users, canary, err
}

// countLetters is that of the dead letters, in the same way.
func (n *Node) countLetters(ctx context.Context,
	destination string) (pillarbox.DeadLetterCount, error) {
	ctx = context.WithoutCancel(ctx) // the answer is kept for others
	return answerOf(&n.answers, "the number of dead letters of "+destination,
		func() (pillarbox.DeadLetterCount, error) { return n.letters.Count(ctx, destination) })
}

// totals are those of the ledger, in the same way.
func (n *Node) totals(ctx context.Context) (ledger.Totals, error) {
	ctx = context.WithoutCancel(ctx)
	return answerOf(&n.answers, "the ledger",
		func() (ledger.Totals, error) { return n.ledger.Totals(ctx) })
}

// diskHanging is how long a call to the disk has not returned, once that is too long.
func (n *Node) diskHanging() time.Duration {
	if n.opts.Disk == nil {
		return 0
	}
	_, since := n.opts.Disk.Hanging()
	return since
}

// diskProblem says which call that is, in one sentence.
func (n *Node) diskProblem() string {
	if n.opts.Disk == nil {
		return ""
	}
	what, since := n.opts.Disk.Hanging()
	if what == "" {
		return ""
	}
	return fmt.Sprintf("the disk has not answered for %d s (%s)", int(since.Seconds()), what)
}
