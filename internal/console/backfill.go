package console

import (
	"fmt"
	"io"
	"strings"

	"pillarbox/internal/backfill"
)

// WriteBackfill writes what a back-fill has done.
func WriteBackfill(w io.Writer, progress *backfill.Progress, form Form) error {
	switch {
	case form.Kind == JSON:
		return WriteJSON(w, progress)
	case form.Kind == CSV:
		return WriteBackfills(w, []backfill.Progress{*progress}, form)
	case progress.DryRun:
		_, err := fmt.Fprintf(w, "%d events would be given to %s; nothing was touched\n", progress.Matched, progress.Destination)
		for _, sample := range progress.Sample {
			if err == nil {
				_, err = fmt.Fprintf(w, "  %s %s\n", sample.Timestamp, Printable(sample.RequestID))
			}
		}
		return err
	case progress.Running():
		_, err := fmt.Fprintf(w, "back-fill %s of %s is running; \"pillarbox backfill --list\" says how far it is\n", progress.ID, progress.Destination)
		return err
	}
	_, err := fmt.Fprintf(w, "%s: %d events were given to %s%s\n", progress.State, progress.Taken+progress.Copied, progress.Destination,
		ofStore(progress))
	if err == nil && progress.Reason != "" {
		_, err = fmt.Fprintln(w, Printable(progress.Reason))
	}
	return err
}

// ofStore says what a copy out of a store has done.
func ofStore(p *backfill.Progress) string {
	var parts []string
	say := func(n uint64, format string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf(format, n))
		}
	}
	say(p.Copied, "%d of them out of another store")
	say(p.Dead, "%d were refused, and are dead letters")
	say(p.Uncounted, "%d of the store's were not counted as skipped by this queue")
	say(p.Unreadable, "%d of the store's can't be read")
	if len(parts) == 0 {
		return ""
	}
	return "; " + strings.Join(parts, "; ")
}

// WriteBackfills lists back-fills.
func WriteBackfills(w io.Writer, all []backfill.Progress, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, map[string]any{"backfills": all})
	}
	table := &Rows{Head: []string{"id", "destination", "state", "found", "taken", "copied", "started_at", "detail"}}
	for _, p := range all {
		detail := p.Reason
		if p.Waiting != "" {
			detail = "waiting: " + p.Waiting
		}
		table.Add(p.ID, p.Destination, p.State, p.Matched, p.Taken, p.Copied, p.StartedAt, detail)
	}
	return table.Write(w, form)
}
