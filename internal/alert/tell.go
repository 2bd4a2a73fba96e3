package alert

import (
	"cmp"
	"context"
	"slices"
	"time"

	"pillarbox/internal/telemetry"
)

// due is one alert of a message for one receiver.
type due struct {
	alert *alert
	event string
	ready bool // it is reason enough for a message
}

// tell sends one receiver what it is owed, until ctx ends. No other receiver waits for it.
func (c *Center) tell(ctx context.Context, r *receiver) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.nudge:
		}
		for m, told := c.plan(r, c.opts.Now()); m != nil; m, told = c.plan(r, c.opts.Now()) {
			c.keep(ctx) // that it may have been told from now on
			if !c.send(ctx, r, m, told) {
				break
			}
			c.keep(ctx) // that it was
		}
	}
}

// plan makes the message that is due for a receiver, and notes that it is about to be sent; nil
// where nothing is due.
func (c *Center) plan(r *receiver, at time.Time) (*Message, []due) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if wait := r.next.Sub(at); wait > 0 && wait <= RetryMax {
		return nil, nil
	}
	var begun, going, over []due
	quiet := c.opts.Quiet.At(at)
	for _, a := range c.state.Alerts {
		if !r.wants(a.Severity) || quiet && a.Severity == Low {
			continue
		}
		switch o := a.Owed[r.Name]; {
		case a.fires() && (o == nil || o.Told.IsZero()):
			begun = append(begun, due{a, EventFiring, passed(a.Fired, c.opts.GroupWait, at)})
		case a.fires():
			going = append(going, due{a, EventFiring, passed(o.Told, c.repeat(a.Severity), at)})
		case o != nil:
			over = append(over, due{a, EventResolved, passed(a.Ended, c.opts.GroupWait, at)})
		}
	}
	all := slices.Concat(begun, going, over)
	slices.SortStableFunc(all, func(a, b due) int {
		return cmp.Compare(a.alert.Severity, b.alert.Severity) // high, low
	})
	isReady := func(d due) bool { return d.ready }
	if !slices.ContainsFunc(all, isReady) {
		return nil, nil
	}
	if r.Sender.Single() {
		all = all[slices.IndexFunc(all, isReady):][:1]
	}
	return c.message(r, all, at), all
}

// passed reports whether a time has passed since. A clock that was set back makes nobody wait.
func passed(since time.Time, wait time.Duration, at time.Time) bool {
	gone := at.Sub(since)
	return gone >= wait || gone < 0
}

func (c *Center) repeat(severity Severity) time.Duration {
	if severity == High {
		return c.opts.RepeatHigh
	}
	return c.opts.RepeatLow
}

// message is made with the lock held. From now on the receiver is owed the end of what it is told.
func (c *Center) message(r *receiver, all []due, at time.Time) *Message {
	m := &Message{Node: clean(c.opts.Node, maxText), Dashboard: c.opts.Dashboard, At: at}
	for _, d := range all {
		a := d.alert
		o := a.Owed[r.Name]
		if o == nil {
			o = &owed{Begun: at}
			a.Owed[r.Name] = o
		}
		m.Items = append(m.Items, Item{Event: d.event, Again: !o.Told.IsZero() && d.event == EventFiring,
			Rule: a.Rule, Severity: a.Severity, Subject: a.Subject,
			Summary: a.Summary, Value: a.Value, Runbook: a.Runbook, Since: a.Since, Ended: a.Ended,
			Key: c.opts.Node + "/" + a.Key, told: o.Told})
	}
	m.seal()
	return m
}

// send reports whether the message was taken.
func (c *Center) send(ctx context.Context, r *receiver, m *Message, told []due) bool {
	within, cancel := context.WithTimeout(ctx, SendTimeout)
	defer cancel()
	err := r.Sender.Send(within, m)
	if err != nil && ctx.Err() != nil {
		return false // the server stops: its next life tells it
	}
	c.opts.Meter.Notified(r.Kind, err == nil)
	at := c.opts.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed(r, err, at)
		return false
	}
	r.wait, r.next, r.lastErr, r.failing, r.sent = RetryFirst, time.Time{}, "", time.Time{}, at
	for _, d := range told {
		if d.event == EventResolved {
			delete(d.alert.Owed, r.Name)
		} else if o := d.alert.Owed[r.Name]; o != nil {
			o.Told = at
		}
	}
	c.state.drop()
	c.opts.Logger.Info("a message about alerts was taken", telemetry.KeyReceiver, r.Name,
		telemetry.KeyItems, len(told))
	return true
}

// failed puts the next try off.
func (c *Center) failed(r *receiver, err error, at time.Time) {
	if r.failing.IsZero() {
		r.failing = at
	}
	r.next, r.lastErr = at.Add(r.wait), clean(err.Error(), maxText)
	c.opts.Logger.Warn("a message about alerts was not taken, and is sent again",
		telemetry.KeyReceiver, r.Name,
		telemetry.KeyErr, r.lastErr, telemetry.KeyRetryIn, r.wait)
	r.wait = min(2*r.wait, RetryMax)
}

// beat says somewhere that this server lives, for as long as it looks at the conditions.
func (c *Center) beat(ctx context.Context) {
	ticker := time.NewTicker(c.opts.BeatEvery)
	defer ticker.Stop()
	for {
		if c.looks() {
			within, cancel := context.WithTimeout(ctx, min(SendTimeout, c.opts.BeatEvery))
			err := c.opts.Beat(within)
			cancel()
			if ctx.Err() != nil {
				return
			}
			c.opts.Meter.Beat(err == nil)
			if err != nil {
				c.opts.Logger.Warn("the heartbeat was not taken", telemetry.KeyErr, clean(err.Error(), maxText))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// looks reports whether the conditions are looked at. A start has its time for the first look.
func (c *Center) looks() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.looked
	if last.IsZero() {
		last = c.began
	}
	return !passed(last, 2*c.settle(), c.opts.Now())
}
