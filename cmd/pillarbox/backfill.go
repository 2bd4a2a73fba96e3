package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/backfill"
	"pillarbox/internal/console"
)

// backfillFlags are the flags of the command.
type backfillFlags struct {
	request adminapi.BackfillRequest
	detach  bool
	list    bool
	cancel  string
	form    console.Form
}

func newBackfillCommand(global *globalFlags) *cobra.Command {
	flags := &backfillFlags{}
	command := &cobra.Command{
		Use:   "backfill DESTINATION",
		Short: "Give a destination what the queue still has and it has not got",
		Long: `Give a destination events that were skipped for it and that it takes now: those that were accepted before it began, and those that
its sources or its filter did not take then. They are pending from then on, and are delivered like any other, each once; the
account moves them from skipped to pending, and to stored. What a person routed elsewhere or gave up is left alone.

The queue has what is not delivered everywhere, and of the rest a history of queue.keep_bytes. A back-fill takes few events at a
time and waits while live delivery lags, or the destination is down or paused. It outlives restarts: an interrupt of this command
cancels it, and what was taken by then is delivered all the same; --detach lets it go on without this command.

What the queue has forgotten of the time before the destination, --from copies out of the store of another one, which
has it: straight into the destination, and the account moves it from skipped to stored. What is refused becomes a dead letter
with one attempt. What the shape of the other destination has dropped or redacted stays so. A destination that can't be asked
what it has gets the same events again when that is done twice, and they are counted once.

A new destination can begin with it: destinations.NAME.from in the configuration.`,
		Example: `  pillarbox backfill billing --dry-run
  pillarbox backfill billing --since 7d --rate 500
  pillarbox backfill billing --detach
  pillarbox backfill warehouse --from events
  pillarbox backfill --list
  pillarbox backfill --cancel 3`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := checkForm(flags.form); err != nil {
				return err
			}
			if (len(args) == 1) == (flags.list || flags.cancel != "") || flags.list && flags.cancel != "" {
				return usageError{errors.New("name one destination to back-fill, or --list, or --cancel with the id of a back-fill")}
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				return flags.run(ctx, command, client, args)
			})
		},
	}
	set := command.Flags()
	set.StringVar(&flags.request.Source, "source", "", "only events of this source")
	set.StringVar(&flags.request.Since, "since", "", "accepted at or after: ago as in 24h or 7d, or RFC 3339")
	set.StringVar(&flags.request.Until, "until", "", "accepted before: the same forms")
	set.StringVar(&flags.request.FromStore, "from", "", "also copy what the queue has forgotten, out of the store of this destination")
	set.Float64Var(&flags.request.Rate, "rate", 0, "events per second (default as fast as it goes)")
	set.BoolVar(&flags.request.DryRun, "dry-run", false, "count and sample, and touch nothing")
	set.BoolVar(&flags.detach, "detach", false, "start it, and let it go on without this command")
	set.BoolVar(&flags.list, "list", false, "list the back-fills that the server remembers")
	set.StringVar(&flags.cancel, "cancel", "", "cancel the back-fill with this id")
	outputFlag(command, &flags.form)
	return command
}

func (f *backfillFlags) run(ctx context.Context, command *cobra.Command, client *adminclient.Client, args []string) error {
	out := command.OutOrStdout()
	switch {
	case f.list:
		all, err := client.Backfills(ctx)
		if err != nil {
			return err
		}
		return console.WriteBackfills(out, all, f.form)
	case f.cancel != "":
		progress, err := client.CancelBackfill(ctx, f.cancel)
		if err != nil {
			return err
		}
		return console.WriteBackfill(out, progress, f.form)
	}
	f.request.Destination = args[0]
	if err := f.request.Check(); err != nil {
		return usageError{err}
	}
	progress, err := f.start(ctx, command, client)
	if err != nil {
		return noSuchDestination(ctx, client, args[0], err)
	}
	if err := console.WriteBackfill(out, progress, f.form); err != nil {
		return err
	}
	if progress.State == backfill.StateStopped || progress.State == backfill.StateCancelled {
		return silentError{}
	}
	return nil
}

// start starts a back-fill, tells how far it is, and returns when it has ended. When the command is
// interrupted, the back-fill is cancelled.
func (f *backfillFlags) start(ctx context.Context, command *cobra.Command, client *adminclient.Client) (*backfill.Progress, error) {
	progress, err := client.StartBackfill(ctx, f.request)
	if err != nil || f.detach {
		return progress, err
	}
	id := progress.ID
	return follow(ctx, command.ErrOrStderr(), progress,
		func(p *backfill.Progress) string {
			return waitingFor(fmt.Sprintf("taken %d of %d found", p.Taken+p.Copied, p.Matched), p.Waiting)
		},
		func(ctx context.Context) (*backfill.Progress, error) { return client.Backfill(ctx, id) },
		func(ctx context.Context) (*backfill.Progress, error) { return client.CancelBackfill(ctx, id) })
}
