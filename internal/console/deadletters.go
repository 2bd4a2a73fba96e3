package console

import (
	"fmt"
	"io"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/replay"
)

// reasonPreview is how much of a reason a table shows, in characters: enough for the store's own
// message, which stands at its end.
const reasonPreview = 120

// WriteDeadLetters writes a page of dead letters; what can't be read, and that there are more, goes to talk.
func WriteDeadLetters(out, talk io.Writer, page *adminapi.DeadLetterPage, form Form) error {
	w := out
	if form.Kind == JSON {
		return WriteJSON(w, page)
	}
	table := Rows{Head: []string{"dead_at", "request_id", "destination", "source", "attempts",
		"state", "reason"}}
	for _, letter := range page.DeadLetters {
		state, reason := "open", letter.Reason
		if letter.Resolved != nil {
			state = letter.Resolved.How
		}
		if form.Kind == Table {
			reason = Shorten(reason, reasonPreview)
		}
		table.Add(letter.DeadAt, letter.Event.RequestID, letter.Destination, letter.Event.Source,
			len(letter.Attempts), state, reason)
	}
	for _, broken := range page.Unreadable {
		fmt.Fprintln(talk, "can't be read:", Printable(broken))
	}
	if page.NextCursor != "" && form.Kind == Table {
		defer fmt.Fprintln(talk, "there are more; see them with --limit or --cursor")
	}
	return table.Write(w, form)
}

// WriteReplay writes how a replay has ended, or what it would replay.
func WriteReplay(w io.Writer, progress *replay.Progress, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, progress)
	}
	if progress.DryRun {
		fmt.Fprintf(w, "%d dead letters would be replayed\n", progress.Matched)
		table := Rows{Head: []string{"dead_at", "request_id", "destination", "source", "reason"}}
		for _, sample := range progress.Sample {
			table.Add(sample.DeadAt, sample.RequestID, sample.Destination, sample.Source,
				Shorten(sample.Reason, reasonPreview))
		}
		return table.Write(w, form)
	}
	_, err := fmt.Fprintf(w, "%s: %d of %d replayed, %d refused again, %d can't be read\n",
		progress.State, progress.Replayed, progress.Matched, progress.Failed, progress.Unreadable)
	if err == nil && progress.Reason != "" {
		_, err = fmt.Fprintln(w, Printable(progress.Reason))
	}
	return err
}
