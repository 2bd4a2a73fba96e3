// Package ioerr_test lets every single call to the disk fail under the whole service: accepting
// over HTTP, the log, delivering, dead letters.
//
// Call number N of a workload fails, once or from then on, with each kind of error, for every N
// until a workload meets no fault. There is no false acknowledgement, clients are told when to come
// again, the service says what is wrong, and it works again without a restart when the cause has
// gone. A power cut at that moment loses nothing that was acknowledged either.
package ioerr_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/vfs/faultfs"
)

const (
	rounds         = 4
	goodPerRound   = 3
	minCases       = 1500 / callStep
	recoveryBound  = 5 * time.Second  // from the end of the cause to the next acknowledgement
	deliveryBound  = 10 * time.Minute // until everything is delivered
	betweenRounds  = 1100 * time.Millisecond
	shortWriteSize = 700
)

var faults = []error{syscall.EIO, syscall.ENOSPC, syscall.EROFS, syscall.EMFILE,
	&faultfs.ShortWrite{N: shortWriteSize, Err: syscall.ENOSPC}}

func TestEveryCallToTheDiskMayFail(t *testing.T) {
	cases, refused := 0, 0
	for _, fault := range faults {
		for _, kind := range []kind{{down: true}, {forever: true, down: true}, {}, {forever: true}} {
			for n := 0; ; n += callStep {
				c := &failing{n: n, fault: fault, kind: kind}
				synctest.Test(t, c.run)
				if t.Failed() {
					return
				}
				if !c.hit.Load() {
					break
				}
				cases++
				refused += c.refused
			}
		}
	}
	t.Logf("%d cases, %d posts were refused", cases, refused)
	if cases < minCases || refused < minCases/10 {
		t.Errorf("only %d failing calls were tried, and only %d posts met one", cases, refused)
	}
}

// kind is how a call fails.
type kind struct {
	forever bool // and so do all that follow
	down    bool // the store is down meanwhile, and everything stays in the log
}

// failing is one case.
type failing struct {
	kind
	n     int
	fault error

	t       *testing.T
	disk    *faultfs.FS
	hit     atomic.Bool
	healed  atomic.Bool
	store   *store
	service *service
	acked   map[string]pillarbox.Receipt // by body
	posts   int
	refused int
}

func (c *failing) String() string {
	return fmt.Sprintf("call %d fails with %v, for ever %v, store down %v", c.n, c.fault, c.forever,
		c.down)
}

func (c *failing) run(t *testing.T) {
	c.t, c.disk, c.store, c.acked = t, faultfs.New(faultfs.Options{}), newStore(
		c.down), map[string]pillarbox.Receipt{}
	c.disk.Inject(func(op faultfs.Op) error {
		if c.healed.Load() || op.Index < c.n || (!c.forever && op.Index > c.n) {
			return nil
		}
		c.hit.Store(true)
		return c.fault
	})
	if !c.start() {
		return
	}
	for range rounds {
		for range goodPerRound {
			c.post("")
		}
		c.post(refusal)
		time.Sleep(betweenRounds)
	}
	c.healed.Store(true)
	c.store.comeUp()
	c.cutThePower()
	c.mustWorkAgain()
	c.service.close()
	c.cutThePower()
}

// start opens the service. Where that fails, it says so in our words, and works when the cause has
// gone.
func (c *failing) start() bool {
	var err error
	if c.service, err = start(c.disk, c.store); err == nil {
		return true
	}
	c.healed.Store(true)
	if !c.hit.Load() || errors.Is(err, pillarbox.ErrCorrupt) ||
		!errors.Is(err, pillarbox.ErrUnavailable) && !errors.Is(err, pillarbox.ErrNoSpace) {
		c.t.Errorf("%v: the start is refused: %v", c, err)
		return false
	}
	if c.service, err = start(c.disk, c.store); err != nil {
		c.t.Errorf("%v: the cause has gone, and the start is refused: %v", c, err)
		return false
	}
	return true
}

// post sends one event. A refusal must say why, when to come again, and show in the state of the
// queue.
func (c *failing) post(prefix string) {
	c.posts++
	body := fmt.Sprintf("%sbody %d %s", prefix, c.posts, strings.Repeat("x", c.posts*300%2000))
	got, err := c.service.post(body)
	switch {
	case err != nil:
		c.t.Errorf("%v: the answer can't be read: %v", c, err)
	case got.status == http.StatusAccepted:
		c.acked[body] = got.receipt
	case got.status != http.StatusServiceUnavailable && got.status != http.StatusInsufficientStorage:
		c.t.Errorf("%v: answered with %d: %+v", c, got.status, got.problem)
	case got.retryAfter == "" || got.problem.Detail == "":
		c.t.Errorf("%v: the refusal does not say why or when to come again: %+v", c, got)
	case c.service.queue.Stats().Problem == "":
		c.t.Errorf("%v: a post was refused with %+v, and the state of the queue shows no problem", c,
			got.problem)
	default:
		c.refused++
	}
}

// mustWorkAgain posts until there is an acknowledgement, and waits until everything is delivered.
func (c *failing) mustWorkAgain() {
	before, start := len(c.acked), time.Now()
	for c.post(""); len(c.acked) == before && !c.t.Failed(); c.post("") {
		if time.Since(start) > recoveryBound {
			c.t.Errorf("%v: the cause has gone for %v, and nothing is accepted: %s", c, recoveryBound,
				c.service.queue.Stats().Problem)
			return
		}
		time.Sleep(recoveryBound / 50)
	}
	if problem := c.service.queue.Stats().Problem; problem != "" {
		c.t.Errorf("%v: the queue accepts and shows the problem %q", c, problem)
	}
	c.mustDeliver(c.service, c.store, c.acked)
}

// mustDeliver waits until nothing is pending, and holds the store and the letters against the
// acknowledgements.
func (c *failing) mustDeliver(s *service, to *store, acked map[string]pillarbox.Receipt) {
	start := time.Now()
	for {
		account, err := s.queue.Account(destination)
		if err != nil {
			c.t.Errorf("%v: account: %v", c, err)
			return
		}
		if account.Pending == 0 && account.Damaged == 0 { // what the disk could not read is read again
			if account.Accepted != account.Stored+account.Dead {
				c.t.Errorf("%v: account %+v", c, account)
			}
			break
		}
		if time.Since(start) > deliveryBound {
			c.t.Errorf("%v: %d events stay pending and %d damaged", c, account.Pending, account.Damaged)
			return
		}
		time.Sleep(time.Second)
	}
	if damage := s.queue.Stats().Damage; len(damage) != 0 {
		c.t.Errorf("%v: an error of the disk is taken for damage: %v", c, damage)
	}
	if err := missing(acked, to, s.letters); err != nil {
		c.t.Errorf("%v: %v", c, err)
	}
	c.countLetters(s)
}

func (c *failing) countLetters(s *service) {
	for letter, err := range s.letters.List(context.Background(), pillarbox.DeadLetterFilter{}) {
		if err != nil {
			c.t.Errorf("%v: list the letters: %v", c, err)
		} else if !strings.HasPrefix(string(letter.Event.Body), refusal) {
			c.t.Errorf("%v: event %s has a letter and nobody refused it: %s", c, letter.Event.RequestID,
				letter.Reason)
		}
	}
}

// cutThePower opens what a power cut would leave now, beside the service that goes on.
func (c *failing) cutThePower() {
	to := c.store.clone()
	s, err := start(c.disk.Crash(nil, faultfs.Dropped), to)
	if err != nil {
		c.t.Errorf("%v, then the power goes: the start is refused: %v", c, err)
		return
	}
	c.mustDeliver(s, to, c.acked)
	s.close()
}
