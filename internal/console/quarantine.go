package console

import (
	"fmt"
	"io"

	"pillarbox/internal/adminapi"
)

// WriteQuarantine writes requests in quarantine.
func WriteQuarantine(w, talk io.Writer, page *adminapi.QuarantinePage, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, page)
	}
	table := Rows{Head: []string{"request_id", "timestamp", "source", "reason", "method", "path", "bytes", "remote_addr"}}
	for _, entry := range page.Quarantine {
		event := entry.Event
		table.Add(event.RequestID, event.Timestamp, event.Source, entry.Reason, event.Method, event.Path, len(event.Body), event.RemoteAddr)
	}
	if len(page.Quarantine) == 0 && form.Kind == Table {
		fmt.Fprintln(talk, "nothing is in quarantine")
	} else if err := table.Write(w, form); err != nil {
		return err
	}
	for _, text := range page.Unreadable {
		fmt.Fprintln(talk, "can't be read:", Printable(text))
	}
	TellOfMore(talk, form, len(page.Quarantine), page.NextCursor)
	return nil
}
