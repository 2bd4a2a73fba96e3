package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/console"
)

func newEventsCommand(global *globalFlags) *cobra.Command {
	var form string
	var follow bool
	query := adminapi.EventQuery{}
	command := &cobra.Command{
		Use:   "events",
		Short: "List or follow stored events",
		Long: `List what a destination has stored, the newest first, or follow what is being stored. --since and
--until take RFC 3339, a day (from midnight UTC), or how long ago, as in 15m, 24h or 7d. With -o json
and --follow each event is one line.`,
		Example: `  pillarbox events --limit 5
  pillarbox events --since 1h --source app -o csv
  pillarbox events --follow -o json`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			if follow {
				return followServer(command, global, query, form)
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				return listEvents(ctx, command, client, query, form)
			})
		},
	}
	set := command.Flags()
	set.StringVar(&query.Destination, "destination", "",
		"where to look (default the only one that can be read)")
	set.StringVar(&query.Source, "source", "", "only events of this source")
	set.StringVar(&query.RequestID, "id", "", "only the event with this request id")
	set.StringVar(&query.Since, "since", "", "only events accepted since")
	set.StringVar(&query.Until, "until", "", "only events accepted before")
	set.IntVar(&query.Limit, "limit", 20, fmt.Sprintf("how many, 1 to %d", pillarbox.MaxListLimit))
	set.StringVar(&query.Cursor, "cursor", "", "go on behind a page, with the next_cursor of -o json")
	set.BoolVarP(&follow, "follow", "f", false, "go on with what is stored from now on")
	var oldest bool
	set.BoolVar(&oldest, "oldest", false, "oldest first")
	command.PreRunE = func(command *cobra.Command, _ []string) error {
		query.Newest = !oldest && !follow
		if err := checkLimit(query.Limit); err != nil {
			return err
		}
		if err := query.Check(); err != nil {
			return usageError{err}
		}
		if !follow {
			return nil
		}
		for _, name := range []string{"limit", "until"} {
			if command.Flags().Changed(name) {
				return usageError{fmt.Errorf("--%s makes no sense with --follow, which goes on until it is interrupted", name)}
			}
		}
		query.Limit = 0
		return nil
	}
	outputFlag(command, &form)
	return command
}

// checkLimit refuses a page without items, which the client takes for the default.
func checkLimit(limit int) error {
	if limit < 1 || limit > pillarbox.MaxListLimit {
		return usageError{fmt.Errorf("--limit %d: want 1 to %d", limit, pillarbox.MaxListLimit)}
	}
	return nil
}

// withClient connects, and ends on Ctrl-C.
func withClient(command *cobra.Command, global *globalFlags,
	work func(ctx context.Context, client *adminclient.Client) error) error {
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt)
	defer stop()
	client, done, err := global.connect(ctx)
	if err != nil {
		return errors.Join(err, done())
	}
	return errors.Join(asUsageError(work(ctx, client)), done())
}

// followServer follows what a running server stores, until Ctrl-C. Without a server nothing is
// stored.
func followServer(command *cobra.Command, global *globalFlags, query adminapi.EventQuery,
	form string) error {
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt)
	defer stop()
	client, err := global.connectServer(ctx, "--follow")
	if err != nil {
		return err
	}
	return asUsageError(followEvents(ctx, command.OutOrStdout(), client, query, form))
}

func listEvents(ctx context.Context, command *cobra.Command, client *adminclient.Client,
	query adminapi.EventQuery, form string) error {
	page, err := client.Events(ctx, query)
	if err != nil {
		return err
	}
	w := command.OutOrStdout()
	if form != console.JSON { // there it is part of the page
		for _, item := range page.Unreadable {
			fmt.Fprintln(command.ErrOrStderr(), "passed over, because it is no event:",
				console.Printable(item))
		}
	}
	if form == console.JSON {
		return console.WriteJSON(w, page)
	}
	table := console.Rows{Head: console.EventHead(form)}
	for _, event := range page.Events {
		table.Add(console.EventRow(event, form)...)
	}
	return table.Write(w, form)
}

// followEvents prints events as they are stored, until Ctrl-C.
func followEvents(ctx context.Context, w io.Writer, client *adminclient.Client,
	query adminapi.EventQuery, form string) error {
	if form == console.Table {
		fmt.Fprintln(w, "following; end with Ctrl-C")
	}
	err := client.FollowEvents(ctx, query, func(event *pillarbox.Event, _ string) error {
		switch form {
		case console.JSON:
			line, err := json.Marshal(event)
			if err != nil {
				return err
			}
			_, err = w.Write(append(line, '\n'))
			return err
		case console.CSV:
			single := console.Rows{Head: console.EventHead(form)}
			single.Add(console.EventRow(event, form)...)
			return single.WriteBody(w)
		}
		_, err := fmt.Fprintf(w, "%s  %s  %s  %s\n", event.Timestamp, event.RequestID, event.Source,
			console.Printable(console.BodyPreview(event)))
		return err
	})
	if ctx.Err() != nil {
		return nil // Ctrl-C is how it ends
	}
	return err
}

func newExplainCommand(global *globalFlags) *cobra.Command {
	var form string
	command := &cobra.Command{
		Use:   "explain REQUEST_ID",
		Short: "Tell the story of one event: accepted, attempts, skipped or held, stored or dead, replayed",
		Args:  exactArgs(1),
		RunE: func(command *cobra.Command, args []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				story, err := client.Story(ctx, args[0])
				if err != nil {
					return err
				}
				return console.WriteTrace(command.OutOrStdout(), story, form)
			})
		},
	}
	outputFlag(command, &form)
	return command
}
