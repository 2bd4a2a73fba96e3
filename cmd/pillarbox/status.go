package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/console"
	"pillarbox/internal/ledger"
	"pillarbox/internal/watch"
)

// watchEvery is how often a status is looked at that somebody watches.
const watchEvery = 2 * time.Second

func newStatusCommand(global *globalFlags) *cobra.Command {
	var form console.Form
	watch, every := false, watchEvery
	command := &cobra.Command{
		Use: "status", Short: "Show how the server, its queue and its destinations are", Args: noArgs,
		Long: `Show how the server, its queue and its destinations are. With --watch it goes on until it is interrupted: on a terminal in one place,
with the account of each destination as a bar, until q is pressed; elsewhere as a line each time, or as one JSON object a line with -o json.

Colours are those of the terminal, and there are none with NO_COLOR=1.`,
		Example: `  pillarbox status
  pillarbox status --watch`,
		RunE: func(command *cobra.Command, _ []string) error {
			switch {
			case checkForm(form) != nil:
				return checkForm(form)
			case watch && form.Kind == console.CSV:
				return usageError{errors.New("with --watch the form is table or json")}
			case every < time.Second/10 || !watch && command.Flags().Changed("every"):
				return usageError{errors.New("--every is how often --watch looks; it may be 100ms or more")}
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				if watch {
					return watchStatus(ctx, command, client, form, every)
				}
				status, err := client.Status(ctx)
				if err != nil {
					return err
				}
				return console.WriteStatus(command.OutOrStdout(), status, form)
			})
		},
	}
	command.Flags().BoolVar(&watch, "watch", false, "go on until it is interrupted")
	command.Flags().DurationVar(&every, "every", watchEvery, "how often --watch looks")
	outputFlag(command, &form)
	return command
}

// watchStatus shows the status again and again. A server that does not answer is waited for.
func watchStatus(ctx context.Context, command *cobra.Command, client *adminclient.Client, form console.Form, every time.Duration) error {
	out := command.OutOrStdout()
	if canDraw(out) && form.Kind != console.JSON {
		return watch.Run(ctx, watch.Options{Every: every, In: command.InOrStdin(), Out: drawn(out),
			Look: func(ctx context.Context) (*adminapi.Status, *ledger.Totals, error) {
				status, err := client.Status(ctx)
				if err != nil {
					return nil, nil, err
				}
				totals, err := client.Ledger(ctx)
				return status, totals, err
			}})
	}
	var last *adminapi.Status
	for {
		status, err := client.Status(ctx)
		if ctx.Err() != nil {
			return nil // it was interrupted
		}
		if err := showStatus(out, status, last, err, form); err != nil {
			return err
		}
		if err == nil {
			last = status
		}
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-timer.C:
		}
	}
}

// showStatus writes a line.
func showStatus(out io.Writer, status, last *adminapi.Status, failed error, form console.Form) error {
	var text bytes.Buffer
	switch {
	case failed != nil:
		fmt.Fprintf(&text, "%s no answer: %s\n", pillarbox.TimestampOf(time.Now()), console.Printable(failed.Error()))
	case form.Kind == console.JSON:
		return console.WriteJSONLine(out, status)
	default:
		console.WriteStatusLine(&text, status, last)
	}
	_, err := out.Write(text.Bytes())
	return err
}
