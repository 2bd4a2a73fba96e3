package console

import (
	"fmt"
	"io"

	"pillarbox/internal/purge"
)

// WritePurge writes how a purge has ended, or what it would delete.
func WritePurge(w io.Writer, progress *purge.Progress, form Form) error {
	switch {
	case form.Kind == JSON:
		return WriteJSON(w, progress)
	case form.Kind == CSV:
		table := Rows{Head: []string{"state", "destination", "source", "until", "matched", "purged",
			"kept", "dry_run", "reason"}}
		table.Add(progress.State, progress.Destination, progress.Source, progress.Until,
			progress.Matched, progress.Purged, progress.Kept, progress.DryRun, progress.Reason)
		return table.Write(w, form)
	case progress.DryRun:
		_, err := fmt.Fprintf(w, "%d events of %s from before %s would be purged; nothing was touched\n",
			progress.Matched-min(progress.Matched, progress.Kept), PurgedFrom(progress), progress.Until)
		return err
	}
	_, err := fmt.Fprintf(w, "%s: %d of %d events of %s from before %s are purged\n", progress.State,
		progress.Purged, progress.Matched, PurgedFrom(progress), progress.Until)
	if err == nil && progress.Kept > 0 {
		_, err = fmt.Fprintf(w, "%d of them are left alone: they are stored and not settled yet; purge again when they are\n", progress.Kept)
	}
	if err == nil && progress.Reason != "" {
		_, err = fmt.Fprintln(w, Printable(progress.Reason))
	}
	return err
}

// PurgedFrom says where a purge deletes: the destination, and the source if it is of one only.
func PurgedFrom(progress *purge.Progress) string {
	if progress.Source == "" {
		return progress.Destination
	}
	return progress.Destination + ", of the source " + Printable(progress.Source) + ","
}
