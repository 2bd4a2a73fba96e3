package console

import (
	"fmt"
	"io"
	"pillarbox/internal/ledger"
)

// WriteAudit writes an audit, with what is wrong in sentences behind the table.
func WriteAudit(w io.Writer, audit *ledger.Audit, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, audit)
	}
	table := Rows{Head: []string{"destination", "accepted", "stored", "dead", "skipped", "pending",
		"held", "damaged", "found", "balanced"}}
	for _, entry := range audit.Destinations {
		found := "unknown"
		if entry.Found != nil {
			found = fmt.Sprint(*entry.Found)
		}
		table.Add(entry.Destination, entry.Accepted, entry.Stored, entry.Dead, entry.Skipped,
			entry.Pending, entry.Held, entry.Damaged, found, len(entry.Problems) == 0)
	}
	if err := table.Write(w, form); err != nil || form.Kind == CSV {
		return err
	}
	for _, entry := range audit.Destinations {
		if entry.Uncounted {
			fmt.Fprintf(w, "%s: the queue does not count what it takes in, so accepted is what the other numbers add up to, and pending is an approximation\n", entry.Destination)
		}
		if entry.Held > 0 {
			fmt.Fprintf(w, "%s: %d of the pending events are held: no destination takes them any more; \"pillarbox held list\" shows them\n", entry.Destination, entry.Held)
		}
		for _, problem := range entry.Problems {
			fmt.Fprintf(w, "%s: %s\n", entry.Destination, Printable(problem))
		}
		for _, missing := range entry.Missing {
			fmt.Fprintf(w, "%s: missing %s of %s: %s\n", entry.Destination, missing.RequestID,
				missing.Timestamp, missing.Why)
		}
	}
	for _, damage := range audit.Damage {
		fmt.Fprintln(w, "damaged:", Printable(damage))
	}
	verdict := "balanced: every accepted event is stored, dead, skipped by a rule, or pending"
	if !audit.Balanced {
		verdict = "NOT balanced"
	}
	_, err := fmt.Fprintln(w, verdict)
	return err
}
