package console

import (
	"fmt"
	"io"
	"slices"

	"pillarbox/internal/ledger"
	"pillarbox/internal/posting"
)

// AuditResult is an audit, and what became of the receipts of clients where these were compared.
type AuditResult struct {
	*ledger.Audit
	Receipts *posting.Comparison `json:"receipts,omitempty"`
}

// Compared adds a comparison. An event that a client has a receipt of and that is nowhere was
// accepted, and is missing on the other side of the account.
func (r *AuditResult) Compared(receipts *posting.Comparison) {
	r.Receipts = receipts
	r.Balanced = r.Balanced && receipts.Lost == 0
}

// Right reports that nothing is wrong.
func (r *AuditResult) Right() bool {
	return r.Balanced && (r.Receipts == nil || r.Receipts.Right())
}

// WriteAudit writes an audit, with what is wrong in sentences behind the table. In CSV, what is to
// be said of receipts goes to talk.
func WriteAudit(w, talk io.Writer, audit *AuditResult, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, audit)
	}
	table := Rows{Head: []string{"destination", "accepted", "stored", "dead", "skipped", "pending",
		"held", "damaged", "found", "purged", "balanced"}}
	for _, entry := range audit.Destinations {
		found := "unknown"
		if entry.Found != nil {
			found = fmt.Sprint(*entry.Found)
		}
		table.Add(entry.Destination, entry.Accepted, entry.Stored, entry.Dead, entry.Skipped,
			entry.Pending, entry.Held, entry.Damaged, found, entry.Purged, entry.Balanced)
	}
	if err := table.Write(w, form); err != nil {
		return err
	}
	if form.Kind == CSV {
		return writeCompared(talk, audit.Receipts)
	}
	writeProblems(w, audit.Audit)
	if err := writeCompared(w, audit.Receipts); err != nil {
		return err
	}
	if audit.Canary > 0 {
		fmt.Fprintf(w, "canary: %d events of it besides, which are in none of these numbers\n", audit.Canary)
	}
	if audit.Quarantined > 0 {
		fmt.Fprintf(w, "quarantined: %d requests, which are accepted once they are released\n", audit.Quarantined)
	}
	_, err := fmt.Fprintln(w, verdict(audit))
	return err
}

// verdict is the last line of an audit. Where the ledger itself is right it says what is not, since
// the table above it shows a balance.
func verdict(audit *AuditResult) string {
	if audit.Balanced {
		return "balanced: every accepted event is stored, dead, skipped by a rule, or pending"
	}
	wrong := func(entry ledger.AuditEntry) bool { return !entry.Balanced }
	if audit.Receipts != nil && audit.Receipts.Lost > 0 &&
		!slices.ContainsFunc(audit.Destinations, wrong) {
		return fmt.Sprintf(
			"NOT balanced: the ledger is, but %d of the receipts are of events that are nowhere",
			audit.Receipts.Lost)
	}
	return "NOT balanced"
}

// writeProblems writes what is wrong, and what has to be known, one sentence each. The names of
// what is missing come first: there may be a thousand, and what to do stands near the end.
func writeProblems(w io.Writer, audit *ledger.Audit) {
	for _, entry := range audit.Destinations {
		if entry.Uncounted {
			fmt.Fprintf(w, "%s: the queue does not count what it takes in, so accepted is what the other numbers add up to, and pending is an approximation\n", entry.Destination)
		}
		if entry.Held > 0 {
			fmt.Fprintf(w, "%s: %d of the pending events are held: no destination takes them any more; \"pillarbox held list\" shows them\n", entry.Destination, entry.Held)
		}
		if entry.Purged > 0 {
			fmt.Fprintf(w, "%s: %d of the stored events are purged\n", entry.Destination, entry.Purged)
		}
		for _, missing := range entry.Missing {
			fmt.Fprintf(w, "%s: missing %s of %s: %s\n", entry.Destination,
				Printable(missing.RequestID), missing.Timestamp, missing.Why)
		}
		for _, problem := range entry.Problems {
			fmt.Fprintf(w, "%s: %s\n", entry.Destination, Printable(problem))
		}
	}
	for _, damage := range audit.Damage {
		fmt.Fprintln(w, "damaged:", Printable(damage))
	}
}

// writeCompared writes what became of receipts, if they were compared.
func writeCompared(w io.Writer, c *posting.Comparison) error {
	if c == nil {
		return nil
	}
	for _, missing := range c.Missing {
		fmt.Fprintf(w, "receipt on line %d: missing %s of %s: %s\n", missing.Line,
			Printable(missing.RequestID), missing.Timestamp, missing.Why)
	}
	for _, wrong := range c.WrongLines {
		fmt.Fprintf(w, "line %d is no receipt: %s\n", wrong.Line, Printable(wrong.Error))
	}
	_, err := fmt.Fprintf(w, "%d receipts compared: %d stored, %d dead, %d held, %d pending, %d skipped, %s%d lost%s\n",
		c.Checked, c.Stored, c.Dead, c.Held, c.Pending, c.Skipped, purgedReceipts(c.Purged), c.Lost,
		unnamed(c.Lost, len(c.Missing)))
	if err == nil && c.Wrong > 0 {
		_, err = fmt.Fprintf(w, "%d lines are no receipts%s, and say nothing\n", c.Wrong,
			unnamed(c.Wrong, len(c.WrongLines)))
	}
	return err
}

// purgedReceipts says how many receipts are of events that were purged, where there are some.
func purgedReceipts(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d purged, ", n)
}

// unnamed says how many of what was counted are named, where that is not all.
func unnamed(all uint64, named int) string {
	if all <= uint64(named) {
		return ""
	}
	return fmt.Sprintf(" (the first %d of them are named)", named)
}
