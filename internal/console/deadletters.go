package console

import (
	"fmt"
	"io"

	"pillarbox"
	"pillarbox/internal/replay"
)

// reasonPreview is how much of a reason a table shows, in characters: enough for the store's own
// message, which stands at its end.
const reasonPreview = 120

// NewDeadLetters is a list of dead letters.
func NewDeadLetters(w io.Writer, form Form) *List {
	return NewList(w, form, "dead_letters", []string{"dead_at", "request_id", "destination", "source",
		"attempts", "state", "reason"})
}

// AddDeadLetter adds one to it.
func (l *List) AddDeadLetter(letter *pillarbox.DeadLetter) error {
	state, reason := "open", letter.Reason
	if letter.Resolved != nil {
		state = letter.Resolved.How
	}
	if l.form.Kind == Table {
		reason = Shorten(reason, reasonPreview)
	}
	return l.Add(letter, letter.DeadAt, letter.Event.RequestID, letter.Destination,
		letter.Event.Source, len(letter.Attempts), state, reason)
}

// WriteReplay writes how a replay has ended, or what it would replay. What it would is a sample.
func WriteReplay(w, talk io.Writer, progress *replay.Progress, form Form) error {
	switch {
	case form.Kind == JSON:
		return WriteJSON(w, progress)
	case progress.DryRun:
		return writeDryRun(w, talk, progress, form)
	case form.Kind == CSV:
		table := Rows{Head: []string{"state", "matched", "replayed", "failed", "unreadable", "reason"}}
		table.Add(progress.State, progress.Matched, progress.Replayed, progress.Failed,
			progress.Unreadable, progress.Reason)
		return table.Write(w, form)
	}
	_, err := fmt.Fprintf(w, "%s: %d of %d replayed, %d refused again, %d can't be read\n",
		progress.State, progress.Replayed, progress.Matched, progress.Failed, progress.Unreadable)
	if err == nil && progress.Reason != "" {
		_, err = fmt.Fprintln(w, Printable(progress.Reason))
	}
	return err
}

func writeDryRun(w, talk io.Writer, progress *replay.Progress, form Form) error {
	table := Rows{Head: []string{"dead_at", "request_id", "destination", "source", "reason"}}
	for _, sample := range progress.Sample {
		reason := sample.Reason
		if form.Kind == Table {
			reason = Shorten(reason, reasonPreview)
		}
		table.Add(sample.DeadAt, sample.RequestID, sample.Destination, sample.Source, reason)
	}
	line := fmt.Sprintf("%d dead letters would be replayed", progress.Matched)
	if len(progress.Sample) < progress.Matched {
		line += fmt.Sprintf("; these are the first %d", len(progress.Sample))
	}
	to := w
	if form.Kind == CSV {
		to = talk
	}
	if _, err := fmt.Fprintln(to, line); err != nil {
		return err
	}
	return table.Write(w, form)
}
