package console

import (
	"fmt"
	"io"

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
	_, err := fmt.Fprintf(w, "%s: %d events were given to %s\n", progress.State, progress.Taken, progress.Destination)
	if err == nil && progress.Reason != "" {
		_, err = fmt.Fprintln(w, Printable(progress.Reason))
	}
	return err
}

// WriteBackfills lists back-fills.
func WriteBackfills(w io.Writer, all []backfill.Progress, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, map[string]any{"backfills": all})
	}
	table := &Rows{Head: []string{"id", "destination", "state", "found", "taken", "started_at", "detail"}}
	for _, p := range all {
		detail := p.Reason
		if p.Waiting != "" {
			detail = "waiting: " + p.Waiting
		}
		table.Add(p.ID, p.Destination, p.State, p.Matched, p.Taken, p.StartedAt, detail)
	}
	return table.Write(w, form)
}
