package main

import (
	"context"

	"github.com/spf13/cobra"

	"pillarbox/internal/adminclient"
	"pillarbox/internal/console"
)

func newAuditCommand(global *globalFlags) *cobra.Command {
	var form console.Form
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
				if err := console.WriteAudit(command.OutOrStdout(), audit, form); err != nil {
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

func newStatusCommand(global *globalFlags) *cobra.Command {
	var form console.Form
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
				return console.WriteStatus(command.OutOrStdout(), status, form)
			})
		},
	}
	outputFlag(command, &form)
	return command
}
