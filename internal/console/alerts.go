package console

import (
	"fmt"
	"io"
	"strings"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/alert"
)

// WriteAlerts writes what fires on w, and on talk what is wrong with receivers.
func WriteAlerts(w, talk io.Writer, view *alert.View, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, view)
	}
	if len(view.Alerts) == 0 && form.Kind == Table {
		if _, err := fmt.Fprintln(w, "no alert fires"); err != nil {
			return err
		}
	} else {
		table := Rows{Head: []string{"alert", "severity", "state", "subject", "since", "summary", "told"}}
		for i := range view.Alerts {
			a := &view.Alerts[i]
			table.Add(a.Alert, string(a.Severity), a.State, a.Subject, a.Since, a.Summary, told(a))
		}
		if err := table.Write(w, form); err != nil {
			return err
		}
	}
	for _, r := range view.Receivers {
		if r.FailingSince != 0 {
			if _, err := fmt.Fprintf(talk, "%s takes no messages since %s: %s\n", r.Receiver, r.FailingSince,
				Printable(r.LastError)); err != nil {
				return err
			}
		}
	}
	if view.Quiet {
		_, err := fmt.Fprintln(talk, "these are quiet hours: nobody is told what is of a low severity")
		return err
	}
	return nil
}

// told says who was told of an alert, and when.
func told(a *alert.AlertView) string {
	var all []string
	for _, t := range a.Told {
		at := "being told"
		if t.At != 0 {
			at = t.At.String()
		}
		all = append(all, t.Receiver+" ("+at+")")
	}
	if len(all) == 0 {
		return "nobody"
	}
	return strings.Join(all, ", ")
}

// WriteAlertTest writes what receivers said to a test message.
func WriteAlertTest(w io.Writer, test *adminapi.AlertTest, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, test)
	}
	table := Rows{Head: []string{"receiver", "kind", "taken", "took_ms", "error"}}
	for _, r := range test.Results {
		table.Add(r.Receiver, r.Kind, r.Taken, r.TookMS, r.Error)
	}
	return table.Write(w, form)
}
