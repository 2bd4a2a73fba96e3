package console

import (
	"fmt"
	"io"

	"pillarbox/internal/trail"
)

// WriteTrail prints entries of the trail of administration, and to talk how it ends and where it does
// not prove itself.
func WriteTrail(w, talk io.Writer, page *trail.Page, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, page)
	}
	rows := Rows{Head: []string{"entry", "time", "actor", "address", "action", "object", "request", "result", "of"}}
	for _, e := range page.Entries {
		switch {
		case e.Act != nil:
			of := ""
			if e.Act.Of != 0 {
				of = fmt.Sprint(e.Act.Of)
			}
			rows.Add(e.Seq, e.At, e.Act.Actor, e.Act.Address, e.Act.Action, e.Act.Object, e.Act.Request, e.Act.Result, of)
		case e.Erased:
			rows.Add(e.Seq, e.At, "", "", "erased", "", "", "", "")
		default:
			rows.Add(e.Seq, e.At, "", "", "unreadable", "", "", "", "")
		}
	}
	if err := rows.Write(w, form); err != nil {
		return err
	}
	for _, p := range page.Problems {
		if _, err := fmt.Fprintf(talk, "entry %d: %s\n", p.Seq, p.Reason); err != nil {
			return err
		}
	}
	verdict := "the trail proves itself"
	if len(page.Problems) > 0 {
		verdict = "the trail does not prove itself"
	}
	_, err := fmt.Fprintf(talk, "%s: %d entries, and the last one has the hash %s\n", verdict, page.Head.Entries, page.Head.Hash)
	return err
}
