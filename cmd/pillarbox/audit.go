package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"pillarbox/internal/adminclient"
	"pillarbox/internal/console"
	"pillarbox/internal/posting"
)

// auditFlags are the flags of the command.
type auditFlags struct {
	redeliver bool
	receipts  string
	trail     bool
	after     uint64
	limit     int
	erase     uint64
	form      console.Form
}

func newAuditCommand(global *globalFlags) *cobra.Command {
	flags := &auditFlags{}
	command := &cobra.Command{
		Use:   "audit",
		Short: "Prove that accepted = stored + dead + skipped + pending, or name what is missing",
		Long: `Add up the ledger, count what the destinations really hold, and look up every event that the queue
still remembers. Exit 0 if everything is there; exit 1 with the names of what is missing if not.

With --receipts, look up every event that a client has a receipt of as well: it is stored, dead, held, pending or skipped, or it
is named with the line of its receipt, and so are lines that are no receipts. The file is what "pillarbox post --receipts" writes,
one JSON object a line with request_id and timestamp. An event that is in one of several destinations is not lost; what each
destination misses, the audit itself says.

With --trail, show what people and their tools have done to the server: keys, replays, discards, purges, decisions about held
events, reloads, logins. Each act has an entry before it is done and one for what became of it. The entries are chained by their
hashes: exit 1 and the places where the chain does not prove itself, if there are any. To prove that nothing was cut off the end,
keep the last hash elsewhere. --erase makes one entry unreadable for good; the chain stays whole, and has an entry about it.

With --redeliver, a running server hands out again what is missing and the queue still has (queue.keep_bytes of what was
delivered). Stores keep one of each, so nothing is stored twice.`,
		Example: `  pillarbox audit
  pillarbox audit --receipts receipts.ndjson
  pillarbox audit --redeliver
  pillarbox audit --trail
  pillarbox audit --trail --erase 12`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			switch err := checkForm(flags.form); {
			case err != nil:
				return err
			case flags.redeliver && flags.receipts != "":
				return usageError{errors.New("--receipts and --redeliver can't be used together")}
			case flags.trail && (flags.redeliver || flags.receipts != ""):
				return usageError{errors.New("--trail shows something else than --receipts and --redeliver; use it alone")}
			case !flags.trail && (flags.after != 0 || flags.erase != 0 || command.Flags().Changed("limit")):
				return usageError{errors.New("--after, --limit and --erase are for --trail")}
			case flags.erase != 0:
				return eraseTrail(command, global, flags.erase)
			case flags.trail:
				return showTrail(command, global, flags)
			case flags.redeliver:
				return redeliverMissing(command, global, flags.form)
			}
			return audit(command, global, flags)
		},
	}
	command.Flags().BoolVar(&flags.redeliver, "redeliver", false,
		"hand out again what is missing and the queue still has")
	command.Flags().StringVar(&flags.receipts, "receipts", "",
		"compare the receipts in this file, one JSON object a line; - is standard input")
	command.Flags().BoolVar(&flags.trail, "trail", false, "show what people and their tools have done")
	command.Flags().Uint64Var(&flags.after, "after", 0, "only the entries of the trail behind this number")
	command.Flags().IntVar(&flags.limit, "limit", 1000, "at most so many entries of the trail")
	command.Flags().Uint64Var(&flags.erase, "erase", 0, "make this entry of the trail unreadable for good")
	outputFlag(command, &flags.form)
	return command
}

func audit(command *cobra.Command, global *globalFlags, flags *auditFlags) error {
	var from io.Reader
	switch flags.receipts {
	case "":
	case "-":
		from = command.InOrStdin()
	default:
		file, err := os.Open(flags.receipts)
		if err != nil {
			return usageError{fmt.Errorf("--receipts: %w", err)}
		}
		defer file.Close()
		from = file
	}
	return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
		checked, err := client.Audit(ctx)
		if err != nil {
			return err
		}
		result := &console.AuditResult{Audit: checked}
		if from != nil {
			compared, err := posting.Compare(ctx, client, from)
			if err != nil {
				return err
			}
			result.Compared(compared)
		}
		if err := console.WriteAudit(command.OutOrStdout(), command.ErrOrStderr(), result,
			flags.form); err != nil {
			return err
		}
		if !result.Right() {
			return silentError{}
		}
		return nil
	})
}

func redeliverMissing(command *cobra.Command, global *globalFlags, form console.Form) error {
	ctx, w := command.Context(), command.OutOrStdout()
	client, err := global.connectServer(ctx, "pillarbox audit --redeliver")
	if err != nil {
		return err
	}
	list, err := client.Redeliver(ctx, "")
	if err != nil {
		return asUsageError(err)
	}
	if form.Kind == console.JSON {
		return console.WriteJSON(w, list)
	}
	table := console.Rows{Head: []string{"destination", "missing", "redelivered", "replayed", "store"}}
	for _, r := range list.Redeliveries {
		table.Add(r.Destination, r.Missing, r.Redelivered, r.Replayed, r.Store)
	}
	return table.Write(w, form)
}
