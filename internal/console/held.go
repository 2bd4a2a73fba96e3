package console

import (
	"fmt"
	"io"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/held"
)

// WriteHeldGroups writes how many events are held, by destination and source.
func WriteHeldGroups(out io.Writer, groups *adminapi.HeldGroups, form Form) error {
	w := out
	if form.Kind == JSON {
		return WriteJSON(w, groups)
	}
	table := Rows{Head: []string{"destination", "source", "events", "first", "last"}}
	for _, g := range groups.Groups {
		table.Add(g.Destination, g.Source, g.Events, g.First, g.Last)
	}
	if len(groups.Groups) == 0 && form.Kind == Table {
		_, err := fmt.Fprintln(w, "nothing is held")
		return err
	}
	return table.Write(w, form)
}

// NewHeld is a list of held events.
func NewHeld(w io.Writer, form Form) *List {
	return NewList(w, form, "held", []string{"timestamp", "request_id", "destination", "source",
		"attempts", "bytes"})
}

// AddHeld adds one to it.
func (l *List) AddHeld(item held.Item) error {
	return l.Add(item, item.Event.Timestamp, item.Event.RequestID, item.Destination,
		item.Event.Source, len(item.Attempts), len(item.Event.Body))
}

// WriteHeldResult writes what became of held events; done says it in a word.
func WriteHeldResult(out io.Writer, result *held.Result, done string, form Form) error {
	w := out
	switch {
	case form.Kind == JSON:
		return WriteJSON(w, result)
	case form.Kind == CSV:
		table := Rows{Head: []string{"matched", "done", "dry_run"}}
		table.Add(result.Matched, result.Done, result.DryRun)
		return table.Write(w, form)
	case result.DryRun:
		_, err := fmt.Fprintf(w, "%d held events match; nothing was touched\n", result.Matched)
		return err
	}
	_, err := fmt.Fprintf(w, "%d of %d held events were %s\n", result.Done, result.Matched, done)
	return err
}
