package console

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
)

// WriteStatus writes how a server is.
func WriteStatus(w io.Writer, status *adminapi.Status, form Form) error {
	if form.Kind == JSON {
		return WriteJSON(w, status)
	}
	if form.Kind == CSV {
		return destinationRows(status).Write(w, form)
	}
	where := "data in " + status.Data
	if status.Data == "" {
		where = "nothing is kept on this machine"
	}
	fmt.Fprintf(w, "pillarbox %s, %s, %s\n", status.Version, Printable(readiness(status)), where)
	limit := "no limit"
	if status.Queue.MaxBytes > 0 {
		limit = Bytes(status.Queue.MaxBytes)
	}
	if !status.Queue.Uncounted {
		// Not "held": that is what no destination takes any more.
		fmt.Fprintf(w, "queue: %d events accepted, %s in use of %s\n", status.Queue.Accepted,
			Bytes(status.Queue.Bytes), limit)
	}
	if status.Queue.Problem != "" {
		fmt.Fprintln(w, "queue can't accept:", Printable(status.Queue.Problem))
	}
	for _, damage := range status.Queue.Damage {
		fmt.Fprintln(w, "damaged:", Printable(damage))
	}
	for _, source := range status.Sources {
		fmt.Fprintf(w, "source %s at %s\n", source.Source, source.Path)
	}
	writeEncryption(w, status.Encryption)
	if q := status.Quarantine; q != nil && q.Requests > 0 {
		fmt.Fprintf(w, "quarantine: %d requests whose signature fails, %s\n", q.Requests, Bytes(q.Bytes))
	}
	if status.Canary != nil {
		fmt.Fprintln(w, "canary:", Printable(status.Canary.Text))
	}
	for _, c := range status.Certificates {
		line := fmt.Sprintf("certificate %s (%s)", Printable(c.File), c.Listener)
		if c.NotAfter != 0 {
			line += " until " + Time(c.NotAfter)
		}
		if c.Problem != "" {
			line += ": " + Printable(c.Problem)
		}
		fmt.Fprintln(w, line)
	}
	for _, gone := range status.Unconfigured {
		if gone.Pending == 0 {
			continue
		}
		fmt.Fprintf(w, "destination %s is not configured any more, and %d events wait for it, %d of them held; \"pillarbox held list\" shows them. Configure it again, decide about them with \"pillarbox held\", or stop the server and run \"pillarbox queue forget %s\"\n", gone.Destination, gone.Pending, gone.Held, gone.Destination)
	}
	if status.Disk != "" {
		fmt.Fprintln(w, status.Disk)
	}
	for _, d := range status.Destinations {
		if d.Held > 0 {
			fmt.Fprintf(w, "%d events are held for %s: no destination takes them any more; \"pillarbox held list\" shows them\n", d.Held, d.Destination)
		}
	}
	for _, d := range status.Destinations {
		if d.PausedSince != 0 {
			fmt.Fprintf(w, "destination %s is paused since %s by %s%s: \"pillarbox resume %[1]s\" goes on\n", d.Destination, d.PausedSince,
				Printable(d.PausedBy), Printable(because(d.PauseReason)))
		}
	}
	fmt.Fprintln(w)
	return destinationRows(status).Write(w, form)
}

func writeEncryption(w io.Writer, e *adminapi.EncryptionStatus) {
	if e == nil {
		return
	}
	fmt.Fprintf(w, "encryption: on, %d data keys, the newest of %s\n", e.DataKeys, e.Created)
	if e.Problem != "" {
		fmt.Fprintf(w, "encryption: no other data key can be made: %s\n", Printable(e.Problem))
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}

// destinationRows has the last error in full: its cause stands at the end.
func destinationRows(status *adminapi.Status) *Rows {
	table := &Rows{Head: []string{"destination", "state", "pending", "held", "backfill", "retrying",
		"dead_letters", "purged", "last_stored", "since", "next_probe", "last_error"}}
	for _, d := range status.Destinations {
		table.Add(d.Destination, d.State, d.Pending, d.Held, d.Backfill, d.Retrying, d.DeadLetters, d.Purged,
			Time(d.LastStored), Time(cmp.Or(d.PausedSince, d.DownSince)), Time(d.NextProbe), d.LastError)
	}
	return table
}

// readiness is how the server is, in a few words. One that does not do everything says what it
// does.
func readiness(status *adminapi.Status) string {
	switch roles := status.Roles; {
	case !status.Ready && len(roles) == 0:
		return status.Reason // no server runs, or an old one that does not tell
	case !status.Ready:
		return "not ready: " + status.Reason
	case len(roles) > 0 && len(roles) < len(adminapi.Roles()):
		return "ready (runs " + strings.Join(roles, ", ") + " only)"
	}
	return "ready"
}

// Time is a time for people, or - where it is not known.
func Time(stamp pillarbox.Timestamp) string {
	if stamp == 0 {
		return "-"
	}
	return stamp.String()
}

// WriteStatusLine writes how a server is in one line. With the status before it says how many events were
// accepted since.
func WriteStatusLine(w io.Writer, status, last *adminapi.Status) {
	fmt.Fprintf(w, "%s %s accepted=%d", Time(pillarbox.TimestampOf(time.Now())), Printable(readiness(status)), status.Queue.Accepted)
	if last != nil && status.Queue.Accepted >= last.Queue.Accepted {
		fmt.Fprintf(w, " (+%d)", status.Queue.Accepted-last.Queue.Accepted)
	}
	fmt.Fprintf(w, " queue=%q", Bytes(status.Queue.Bytes))
	for _, d := range status.Destinations {
		fmt.Fprintf(w, " %s=%s pending=%d dead=%d", d.Destination, d.State, d.Pending, d.DeadLetters)
	}
	fmt.Fprintln(w)
}
