package seglog

import (
	"time"

	"pillarbox/internal/telemetry"
)

const (
	// maintenanceInterval bounds what a crash delivers again, and how long a mark waits.
	maintenanceInterval = time.Second
	// idleInterval is that of an idle log, in which only the room on the disk can change.
	idleInterval = 10 * time.Minute
)

// maintenance does what no request should wait for. Locks: it belongs to its goroutine, and has
// none.
type maintenance struct {
	*core
	segments     *segmentSet
	appender     *appender
	preallocator *preallocator
	destinations *destinations
	trimmer      *trimmer
	damage       *damageLog
	ages         *ages
	keys         *keys

	accepted   uint64    // events that were accepted at the last round
	reread     time.Time // when what the disk could not read was last read again, and how long to wait
	rereadWait time.Duration
}

// run does what no request should wait for, until Close: each second while there is something to
// do, and hardly ever in an idle log, so that an idle server does not wake its machine.
func (m *maintenance) run() {
	timer := time.NewTimer(maintenanceInterval)
	defer timer.Stop()
	for {
		m.preallocator.wake()
		select {
		case <-m.done:
			return
		case <-m.wakeup.kick:
			if m.wakeup.sleeping.CompareAndSwap(true, false) {
				timer.Reset(maintenanceInterval)
			}
		case <-timer.C:
			timer.Reset(m.nextWait(m.runOnce()))
		}
	}
}

// nextWait says how long the maintenance may sleep after a round. done says that it left nothing to
// do. Whoever makes work after that wakes it, by ifSleeping; what was made in between is seen here.
func (m *maintenance) nextWait(done bool) time.Duration {
	m.wakeup.sleeping.Store(done)
	if done && m.idle() {
		return idleInterval
	}
	m.wakeup.sleeping.Store(false)
	return maintenanceInterval
}

func (m *maintenance) idle() bool {
	for _, c := range m.destinations.all() {
		if c.unsynced() {
			return false
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.segments.nextSeq-1 == m.accepted && m.appender.pending.count == 0 &&
		!m.appender.committing && m.appender.problem == nil &&
		(m.preallocator.spare != nil || m.segments.newestIsFresh())
}

// runOnce reports whether everything is done, as it is in a log that was idle since the round
// before.
func (m *maintenance) runOnce() bool {
	err := m.destinations.sync()
	if err != nil {
		m.opts.Logger.Warn("sync delivery state", telemetry.KeyQueue, m.dir, telemetry.KeyErr, err)
	}
	m.rereadAll()
	m.trimmer.run()
	m.segments.reportRemoved()
	m.keys.bound()
	m.ages.maintain(false, m.destinations.oldestUnsettled)
	if accepted := m.segments.accepted(); accepted != m.accepted {
		m.accepted = accepted
		return false
	}
	return m.appender.markOrHeal() && err == nil && m.rereadWait <= firstReread
}
