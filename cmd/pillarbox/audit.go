package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/ledger"
	"pillarbox/internal/node"
)

func newAuditCommand(global *globalFlags) *cobra.Command {
	var form string
	var redeliver bool
	command := &cobra.Command{
		Use:   "audit",
		Short: "Prove that accepted = stored + dead + skipped + pending, or name what is missing",
		Long: `Add up the ledger, count what the destinations really hold, and look up every event that the queue
still remembers. Exit 0 if everything is there; exit 1 with the names of what is missing if not.

With --redeliver, a running server hands out again what is missing and the queue still has (queue.keep_bytes of what was
delivered). Stores keep one of each, so nothing is stored twice.`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			if redeliver {
				return redeliverMissing(command, global, form)
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				audit, err := client.Audit(ctx)
				if err != nil {
					return err
				}
				if err := printAudit(command.OutOrStdout(), audit, form); err != nil {
					return err
				}
				if !audit.Balanced {
					return silentError{}
				}
				return nil
			})
		},
	}
	command.Flags().BoolVar(&redeliver, "redeliver", false,
		"hand out again what is missing and the queue still has")
	outputFlag(command, &form)
	return command
}

func redeliverMissing(command *cobra.Command, global *globalFlags, form string) error {
	ctx, w := command.Context(), command.OutOrStdout()
	client, err := global.connectServer(ctx, "pillarbox audit --redeliver")
	if err != nil {
		return err
	}
	list, err := client.Redeliver(ctx, "")
	if err != nil {
		return asUsageError(err)
	}
	if form == formJSON {
		return printJSON(w, list)
	}
	table := rows{head: []string{"destination", "missing", "redelivered", "replayed", "store"}}
	for _, r := range list.Redeliveries {
		table.add(r.Destination, r.Missing, r.Redelivered, r.Replayed, r.Store)
	}
	return table.print(w, form)
}

func printAudit(w io.Writer, audit *ledger.Audit, form string) error {
	if form == formJSON {
		return printJSON(w, audit)
	}
	table := rows{head: []string{"destination", "accepted", "stored", "dead", "skipped", "pending",
		"held", "damaged", "found", "balanced"}}
	for _, entry := range audit.Destinations {
		found := "unknown"
		if entry.Found != nil {
			found = fmt.Sprint(*entry.Found)
		}
		table.add(entry.Destination, entry.Accepted, entry.Stored, entry.Dead, entry.Skipped,
			entry.Pending, entry.Held, entry.Damaged, found, len(entry.Problems) == 0)
	}
	if err := table.print(w, form); err != nil || form == formCSV {
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
			fmt.Fprintf(w, "%s: %s\n", entry.Destination, printable(problem))
		}
		for _, missing := range entry.Missing {
			fmt.Fprintf(w, "%s: missing %s of %s: %s\n", entry.Destination, missing.RequestID,
				missing.Timestamp, missing.Why)
		}
	}
	for _, damage := range audit.Damage {
		fmt.Fprintln(w, "damaged:", printable(damage))
	}
	verdict := "balanced: every accepted event is stored, dead, skipped by a rule, or pending"
	if !audit.Balanced {
		verdict = "NOT balanced"
	}
	_, err := fmt.Fprintln(w, verdict)
	return err
}

func newStatusCommand(global *globalFlags) *cobra.Command {
	var form string
	command := &cobra.Command{
		Use: "status", Short: "Show how the server, its queue and its destinations are", Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				status, err := client.Status(ctx)
				if err != nil {
					return err
				}
				return printStatus(command.OutOrStdout(), status, form)
			})
		},
	}
	outputFlag(command, &form)
	return command
}

func printStatus(w io.Writer, status *adminapi.Status, form string) error {
	if form == formJSON {
		return printJSON(w, status)
	}
	if form == formCSV {
		return destinationRows(status).print(w, form)
	}
	where := "data in " + status.Data
	if status.Data == "" {
		where = "nothing is kept on this machine"
	}
	fmt.Fprintf(w, "pillarbox %s, %s, %s\n", status.Version, printable(readiness(status)), where)
	limit := "no limit"
	if status.Queue.MaxBytes > 0 {
		limit = bytesText(status.Queue.MaxBytes)
	}
	if !status.Queue.Uncounted {
		fmt.Fprintf(w, "queue: %d events accepted, %s held of %s\n", status.Queue.Accepted,
			bytesText(status.Queue.Bytes), limit)
	}
	if status.Queue.Problem != "" {
		fmt.Fprintln(w, "queue can't accept:", printable(status.Queue.Problem))
	}
	for _, damage := range status.Queue.Damage {
		fmt.Fprintln(w, "damaged:", printable(damage))
	}
	for _, source := range status.Sources {
		fmt.Fprintf(w, "source %s at %s\n", source.Source, source.Path)
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
	fmt.Fprintln(w)
	return destinationRows(status).print(w, form)
}

// destinationRows has the last error in full: its cause stands at the end.
func destinationRows(status *adminapi.Status) *rows {
	table := &rows{head: []string{"destination", "state", "pending", "held", "retrying",
		"dead_letters", "last_stored", "paused_since", "next_probe", "last_error"}}
	for _, d := range status.Destinations {
		table.add(d.Destination, d.State, d.Pending, d.Held, d.Retrying, d.DeadLetters,
			timeText(d.LastStored), timeText(d.PausedSince), timeText(d.NextProbe), d.LastError)
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
	case len(roles) > 0 && len(roles) < len(node.Roles()):
		return "ready (runs " + strings.Join(roles, ", ") + " only)"
	}
	return "ready"
}

func timeText(stamp pillarbox.Timestamp) string {
	if stamp == 0 {
		return "-"
	}
	return stamp.String()
}
