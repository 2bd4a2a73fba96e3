package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/console"
	"pillarbox/internal/purge"
)

// purgeFlags are the flags of the command.
type purgeFlags struct {
	request adminapi.PurgeRequest
	yes     bool
	form    console.Form
}

func newPurgeCommand(global *globalFlags) *cobra.Command {
	flags := &purgeFlags{}
	command := &cobra.Command{
		Use:   "purge DESTINATION --older-than AGE",
		Short: "Delete old events from a destination so that the ledger knows of it",
		Long: `Delete the stored events of a destination that were accepted before a time, by --source if it is given. They are deleted for
good. The ledger tells them as purged, which is a part of stored, and the audit does not miss them; rows that are deleted by
hand it misses for ever.

What is pending is not touched: it is stored when its time comes, however old it is. What was purged does not come back by
redelivery. Deliveries go on meanwhile; --rate leaves more room for them. A purge that was cut off is begun again with the same
command. The pages of deleted rows are used again; the file of an SQLite database becomes no smaller by it.

With a running server the server purges; without one this process does. Stores that pillarbox can't purge say so: a table of
DynamoDB has a time to live (TTL) of its own.`,
		Example: `  pillarbox purge events --older-than 90d --dry-run
  pillarbox purge events --older-than 90d --yes
  pillarbox purge events --older-than 7d --source debug --rate 1000`,
		Args: oneArg,
		RunE: func(command *cobra.Command, args []string) error {
			return flags.run(command, global, args[0])
		},
	}
	set := command.Flags()
	set.StringVar(&flags.request.OlderThan, "older-than", "",
		"accepted before: ago as in 90d or 12h, or RFC 3339 (required)")
	set.StringVar(&flags.request.Source, "source", "", "only events of this source")
	set.BoolVar(&flags.request.DryRun, "dry-run", false, "count, and delete nothing")
	set.Float64Var(&flags.request.Rate, "rate", 0, "events per second (default as fast as it goes)")
	set.BoolVar(&flags.yes, "yes", false, "don't ask")
	outputFlag(command, &flags.form)
	return command
}

func (f *purgeFlags) run(command *cobra.Command, global *globalFlags, destination string) error {
	if err := checkForm(f.form); err != nil {
		return err
	}
	if f.request.OlderThan == "" {
		return usageError{errors.New("--older-than says how old events must be to be purged, as in 90d; nothing is purged without it")}
	}
	f.request.Destination = destination
	request, err := f.request.Fixed()
	if err != nil {
		return usageError{err}
	}
	return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
		if !request.DryRun && !f.yes {
			if err := askToPurge(ctx, command, client, request); err != nil {
				return err
			}
		}
		progress, err := startPurge(ctx, command, client, request)
		if err != nil {
			return noSuchDestination(ctx, client, destination, err)
		}
		if err := console.WritePurge(command.OutOrStdout(), progress, f.form); err != nil {
			return err
		}
		if progress.Matched == 0 {
			tellOfNames(ctx, client, command.ErrOrStderr(), request.Source, "")
		}
		if progress.State != purge.StateDone {
			return silentError{}
		}
		return nil
	})
}

// askToPurge counts, and asks. Where there is nothing to purge it does not.
func askToPurge(ctx context.Context, command *cobra.Command, client *adminclient.Client,
	request adminapi.PurgeRequest) error {
	request.DryRun = true
	looked, err := client.StartPurge(ctx, request)
	if err != nil {
		return noSuchDestination(ctx, client, request.Destination, err)
	}
	old := looked.Matched - min(looked.Matched, looked.Kept)
	question := fmt.Sprintf("Delete %d events of %s from before %s for good? Type yes: ", old,
		console.PurgedFrom(looked), looked.Until)
	if old > 0 && !confirmed(command, question, "yes") {
		return errors.New("nothing was purged; --yes purges without a question")
	}
	return nil
}

// startPurge starts a purge, tells how far it is, and returns when it has ended. When the command
// is interrupted, the purge is cancelled.
func startPurge(ctx context.Context, command *cobra.Command, client *adminclient.Client,
	request adminapi.PurgeRequest) (*purge.Progress, error) {
	progress, err := client.StartPurge(ctx, request)
	if err != nil {
		return nil, err
	}
	id := progress.ID
	return follow(ctx, command.ErrOrStderr(), progress,
		func(p *purge.Progress) string { return fmt.Sprintf("purged %d of %d", p.Purged, p.Matched) },
		func(ctx context.Context) (*purge.Progress, error) { return client.Purge(ctx, id) },
		func(ctx context.Context) (*purge.Progress, error) { return client.CancelPurge(ctx, id) })
}
