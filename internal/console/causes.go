package console

import (
	"fmt"
	"io"

	"pillarbox/internal/causes"
)

// WriteGroups writes what failed by cause, and tells of what is in no group.
func WriteGroups(w, talk io.Writer, groups *causes.Groups, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, groups)
	}
	table := &Rows{Head: []string{"count", "destination", "cause", "first", "last", "next", "sample"}}
	for i := range groups.Groups {
		g := &groups.Groups[i]
		next := ""
		if g.Next != 0 {
			next = g.Next.String()
		}
		table.Add(g.Count, g.Destination, g.Cause, g.First, g.Last, next, g.Sample)
	}
	if err := table.Write(w, form); err != nil {
		return err
	}
	for format, n := range map[string]uint64{"%d more are in smaller groups\n": groups.Others, "%d can't be read\n": groups.Unreadable} {
		if n > 0 {
			if _, err := fmt.Fprintf(talk, format, n); err != nil {
				return err
			}
		}
	}
	return nil
}
