package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"pillarbox"
)

// MaxNamed bounds how many missing events an audit names for each destination; all of them are
// counted.
const MaxNamed = 1000

// lookups is how many keys are asked of a store at once.
const lookups = 500

// Audit is the result of checking the account against what is really there.
type Audit struct {
	Accepted     uint64       `json:"accepted"`
	Canary       uint64       `json:"canary,omitempty"` // events of the canary besides
	Balanced     bool         `json:"balanced"`
	Destinations []AuditEntry `json:"destinations"`
	Damage       []string     `json:"damage"` // of the queue's files, with file and offset

	Quarantined uint64 `json:"quarantined"` // requests that are no events until they are released
}

// AuditEntry is the audit of one destination.
type AuditEntry struct {
	Entry
	Found    *uint64   `json:"found,omitempty"` // events counted in the destination; absent where it can't be asked
	Lost     uint64    `json:"lost"`            // settled events that the queue still knows and that are neither stored nor dead
	Missing  []Missing `json:"missing"`         // these by name, at most MaxNamed
	Problems []string  `json:"problems"`        // one sentence each; empty where everything is right
}

// Missing is an event that is neither stored nor dead nor pending.
type Missing struct {
	RequestID string              `json:"request_id"`
	Timestamp pillarbox.Timestamp `json:"timestamp"`
	Why       string              `json:"why"`
}

// Audit counts each destination and looks up what the queue still remembers. It reads the history
// that the queue keeps and may scan the stores.
func (l *Ledger) Audit(ctx context.Context) (*Audit, error) {
	audit := &Audit{Balanced: true, Destinations: []AuditEntry{},
		Damage: []string{}}
	for _, damage := range l.queue.Stats().Damage {
		audit.Damage = append(audit.Damage, damage.Error())
	}
	for _, destination := range l.all() {
		entry, err := l.auditOne(ctx, destination)
		if err != nil {
			return nil, err
		}
		audit.Balanced = audit.Balanced && len(entry.Problems) == 0
		audit.Destinations = append(audit.Destinations, *entry)
		audit.Canary = max(audit.Canary, entry.Canary)
	}
	accepted := l.queue.Stats().Accepted
	audit.Accepted = accepted - min(accepted, audit.Canary)
	return audit, nil
}

func (l *Ledger) auditOne(ctx context.Context, destination Destination) (*AuditEntry, error) {
	entry, err := l.entry(ctx, destination)
	if err != nil {
		return nil, err
	}
	audit := &AuditEntry{Entry: entry, Missing: []Missing{}, Problems: []string{}}
	if err := l.auditLetters(ctx, audit); err != nil {
		return nil, err
	}
	rotten := entry.Damaged - min(entry.Damaged, entry.account.Unread)
	audit.problem(rotten > 0, "%d events were lost to corruption of the queue's files", rotten)
	audit.problem(entry.account.Unread > 0,
		"%d events are in places that the disk can't read now; they are read again, and delivered when it can", entry.account.Unread)
	store, readable := destination.store()
	if readable {
		if err := l.auditStore(ctx, audit, store, destination); err != nil {
			return nil, err
		}
	}
	if !entry.Balanced && len(audit.Problems) == 0 {
		audit.problem(true, "accepted %d is not stored %d + dead %d + skipped %d + pending %d",
			entry.Accepted, entry.Stored, entry.Dead, entry.Skipped, entry.Pending)
	}
	audit.Balanced = len(audit.Problems) == 0
	return audit, nil
}

func (a *AuditEntry) problem(is bool, format string, args ...any) {
	if is {
		a.Problems = append(a.Problems, fmt.Sprintf(format, args...))
	}
}

// auditLetters sees that every event that was dead-lettered still has its letter, and opens every
// letter to see that it can be read. Letters that were removed by hand are counted here, and named
// among what is missing.
func (l *Ledger) auditLetters(ctx context.Context, audit *AuditEntry) error {
	audit.problem(audit.lettersMissing > 0, "%d of %d dead letters are missing", audit.lettersMissing,
		audit.account.Dead)
	audit.problem(audit.lettersSurplus > 0,
		"there are %d more dead letters than events that were dead or are pending", audit.lettersSurplus)
	for letter, err := range l.letters.List(ctx,
		pillarbox.DeadLetterFilter{Destination: audit.Destination, Resolved: true}) {
		audit.problem(letter == nil && err != nil, "a dead letter can't be read: %v", err)
	}
	return ctx.Err()
}

// auditStore counts the rows, and looks up every event that the queue remembers as settled.
func (l *Ledger) auditStore(ctx context.Context, audit *AuditEntry, store pillarbox.Sink,
	destination Destination) error {
	found, err := store.Count(ctx)
	if err != nil {
		audit.problem(true, "the destination can't be asked: %v", err)
		return ctx.Err()
	}
	audit.Found = &found
	audit.knowPurges(store.Purges()) // what was counted is not older
	if audit.Uncounted {             // others deliver as well: what is there was stored
		audit.Stored = found + audit.Purged
		audit.balance()
	}
	replaced := false
	if l.queue.Traits().Obliges {
		record := l.queue.Store(destination.Name)
		replaced = record.Changed != ""
		audit.problem(record.Changed != "",
			"the store was replaced, which was found at %v: %s; \"pillarbox audit --redeliver\" brings back what the queue still has", record.At, record.Changed)
	}
	total := audit.Stored - min(audit.Stored, found+audit.Purged)
	if err := l.nameMissing(ctx, audit, store, destination); err != nil {
		return err
	}
	hint := ""
	if store.Traits().Purges && !replaced {
		hint = "; if they were deleted because they were old, let \"pillarbox purge\" do that, so that the ledger knows of it"
	}
	named := min(audit.Lost, MaxNamed)
	audit.problem(audit.Lost > 0, "%d events are neither stored nor dead nor pending; %d of them are named%s", audit.Lost, named, hint)
	audit.problem(total > audit.Lost, "%d more events should be stored and are not; they are older than what the queue remembers, or were before the bound of a purge, and can't be named%s", total-min(total, audit.Lost), hint)
	return nil
}

// nameMissing goes through the events that the queue holds and the destination has settled.
func (l *Ledger) nameMissing(ctx context.Context, audit *AuditEntry, store pillarbox.Sink,
	destination Destination) error {
	if !l.queue.Traits().Searchable {
		return nil
	}
	var keys []pillarbox.Key
	sources := map[pillarbox.Key]string{}
	flush := func() error {
		defer clear(sources)
		missing, err := store.Missing(ctx, keys)
		if err != nil {
			return fmt.Errorf("look events up in %s: %w", destination.Name, err)
		}
		keys = keys[:0]
		audit.purges = store.Purges()
		return l.nameThem(ctx, audit, missing, sources)
	}
	err := l.queue.Scan(ctx, destination.Name,
		func(event *pillarbox.Event, standing pillarbox.Standing) error {
			if standing != pillarbox.StandingSettled {
				return nil
			}
			sources[event.Key()] = strings.Clone(event.Source)
			if keys = append(keys, event.Key()); len(keys) < lookups {
				return nil
			}
			return flush()
		})
	if err != nil {
		return err
	}
	return flush()
}

// isPurged reports whether a purge went through the place of an event that is settled and not in
// the store: a store keeps no names of what it has deleted. Whether more is gone than was purged
// there, the count tells. An event whose letter was removed was not stored.
func isPurged(key pillarbox.Key, source, letter string, purges []pillarbox.Purge) bool {
	_, covered := pillarbox.CoveredBy(purges, source, key.Timestamp)
	return covered && letter != pillarbox.DeadLetterMissing
}

// nameThem decides about events that are settled and not in the store: they are dead, or they are
// missing. Events from before the destination existed were never meant for it, and are known by the
// count of the skipped.
func (l *Ledger) nameThem(ctx context.Context, audit *AuditEntry, keys []pillarbox.Key,
	sources map[pillarbox.Key]string) error {
	states, err := l.letterStates(ctx, audit.Destination, keys)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if !isPurged(key, sources[key], states[key], audit.purges) {
			audit.nameOne(key, states[key])
		}
	}
	return nil
}

// letterUnreadable is the state of a letter that can't be read. auditLetters names it.
const letterUnreadable = "unreadable"

// letterStates returns the states of the letters of events, by key; none where there is no letter.
func (l *Ledger) letterStates(ctx context.Context, destination string,
	keys []pillarbox.Key) (map[pillarbox.Key]string, error) {
	states := map[pillarbox.Key]string{}
	if len(keys) == 0 {
		return states, nil
	}
	filter := pillarbox.DeadLetterFilter{Destination: destination, Resolved: true, Missing: true}
	for _, key := range keys {
		filter.RequestIDs = append(filter.RequestIDs, key.RequestID)
	}
	unreadable := false
	for letter, err := range l.letters.Summaries(ctx, filter) {
		switch {
		case err == nil:
			states[letter.Key] = letter.State
		case errors.Is(err, pillarbox.ErrCorrupt):
			unreadable = true
		default:
			return nil, fmt.Errorf("dead letters: %w", err)
		}
	}
	for _, key := range keys {
		if _, known := states[key]; known || !unreadable {
			continue
		}
		if _, err := l.letters.Get(ctx, destination, key.RequestID); errors.Is(err,
			pillarbox.ErrCorrupt) {
			states[key] = letterUnreadable
		}
	}
	return states, nil
}

// nameOne names an event that is missing, by the state of its letter; empty where it has none.
func (a *AuditEntry) nameOne(key pillarbox.Key, state string) {
	why := whySettled
	switch state {
	case pillarbox.DeadLetterOpen, pillarbox.ResolvedDiscarded, letterUnreadable:
		return
	case pillarbox.ResolvedReplayed:
		why = "replayed, and not in the destination"
	case pillarbox.DeadLetterMissing:
		why = whyRemoved
	}
	if a.Lost++; len(a.Missing) < MaxNamed {
		a.Missing = append(a.Missing, Missing{RequestID: key.RequestID, Timestamp: key.Timestamp,
			Why: why})
	}
}
