package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/console"
)

func newEventsCommand(global *globalFlags) *cobra.Command {
	var form console.Form
	var follow bool
	query := adminapi.EventQuery{}
	command := &cobra.Command{
		Use:   "events",
		Short: "List or follow stored events",
		Long: `List what a destination has stored, the newest first, or follow what is being stored. --since and
--until take RFC 3339, a day (from midnight UTC), or how long ago, as in 15m, 24h or 7d. With -o json
and --follow each event is one line; --follow goes on by itself when the server comes back after a
restart, misses nothing that was stored meanwhile and shows nothing twice.

All that is asked for must be so, and nothing is a pattern. What no index leads to (everything but ids,
times and sources) is looked for in 100,000 events at a time; where none of them is meant, --since and
--until have to be narrower.

CSV is what was sent: for a file that a spreadsheet opens, add --spreadsheet-safe, or a client can put a
formula into it that the spreadsheet runs.`,
		Example: `  pillarbox events --limit 5
  pillarbox events --since 1h --source app -o csv
  pillarbox events --ce-type com.example.paid --attribute tenant=acme
  pillarbox events --since 1d --json /type=invoice.paid --header X-Tenant=acme
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
	eventFlags(set, &query)
	set.BoolVarP(&follow, "follow", "f", false, "go on with what is stored from now on")
	var oldest bool
	set.BoolVar(&oldest, "oldest", false, "oldest first")
	command.PreRunE = func(command *cobra.Command, _ []string) error {
		query.Newest = !oldest && !follow
		if err := checkLimit(query.Limit); err != nil {
			return err
		}
		if err := ofOnePage(query).Check(); err != nil {
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

// eventFlags are those that say which events of a list.
func eventFlags(set *pflag.FlagSet, query *adminapi.EventQuery) {
	selectFlags(set, query)
	set.StringVar(&query.Since, "since", "", "only events accepted since")
	set.StringVar(&query.Until, "until", "", "only events accepted before")
	set.IntVar(&query.Limit, "limit", 20, fmt.Sprintf("how many, 1 to %d", maxList))
	set.StringVar(&query.Cursor, "cursor", "", "go on behind a page, with the next_cursor of -o json")
}

// selectFlags are those that say which events, but for their time.
func selectFlags(set *pflag.FlagSet, query *adminapi.EventQuery) {
	set.StringVar(&query.Destination, "destination", "",
		"where to look (default the only one that can be read)")
	set.StringVar(&query.Source, "source", "", "only events of this source")
	set.StringVar(&query.RequestID, "id", "", "only the event with this request id")
	set.StringVar(&query.Facts.Caller, "caller", "", "only events from this caller")
	set.StringVar(&query.Facts.CEID, "ce-id", "", "only CloudEvents with this id")
	set.StringVar(&query.Facts.CESource, "ce-source", "", "only CloudEvents of this source")
	set.StringVar(&query.Facts.CEType, "ce-type", "", "only CloudEvents of this type")
	set.StringVar(&query.Facts.CESubject, "ce-subject", "", "only CloudEvents about this subject")
	set.Var(attributeFlag{&query.Facts.Attributes}, "attribute",
		"only events with this attribute, as tenant=acme; may be given several times")
	contentFlags(set, &query.Content)
}

// attributeFlag collects NAME=VALUE.
type attributeFlag struct{ to *pillarbox.Attributes }

func (f attributeFlag) String() string { return "" }

func (f attributeFlag) Type() string { return "NAME=VALUE" }

func (f attributeFlag) Set(text string) error {
	name, value, found := strings.Cut(text, "=")
	if !found {
		return fmt.Errorf("want NAME=VALUE")
	}
	if err := pillarbox.CheckAttributeName(name); err != nil {
		return err
	}
	f.to.Set(name, value)
	return nil
}

// maxList is how many items one command lists at most. A table keeps the cells of all of them, some
// 300 bytes each, until it knows how wide its columns are.
const maxList = 100_000

// checkLimit refuses a list without items, which the client takes for the default, and one that is
// too long.
func checkLimit(limit int) error {
	if limit < 1 || limit > maxList {
		return usageError{fmt.Errorf("--limit %d: want 1 to %d; --cursor goes on behind a list", limit,
			maxList)}
	}
	return nil
}

// withClient connects, and ends on Ctrl-C.
func withClient(command *cobra.Command, global *globalFlags,
	work func(ctx context.Context, client *adminclient.Client) error) error {
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt)
	defer stop()
	return workWith(ctx, global.connect, work)
}

// workWith does the work with what a way to connect finds.
func workWith(ctx context.Context, connect func(context.Context) (*adminclient.Client, func() error, error),
	work func(ctx context.Context, client *adminclient.Client) error) error {
	client, done, err := connect(ctx)
	if err != nil {
		return errors.Join(err, done())
	}
	return errors.Join(asUsageError(work(ctx, client)), done())
}

// followServer follows what a running server stores, until Ctrl-C. Without a server nothing is
// stored.
func followServer(command *cobra.Command, global *globalFlags, query adminapi.EventQuery,
	form console.Form) error {
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt)
	defer stop()
	client, err := global.connectServer(ctx, "--follow")
	if err != nil {
		return err
	}
	if query, err = query.Fixed(time.Now()); err != nil {
		return usageError{err}
	}
	tellOfNames(ctx, client, command.ErrOrStderr(), query.Source, "") // a destination is refused
	return asUsageError(followEvents(ctx, command, client, query, form))
}

func listEvents(ctx context.Context, command *cobra.Command, client *adminclient.Client,
	query adminapi.EventQuery, form console.Form) error {
	list := console.NewEvents(command.OutOrStdout(), form)
	unreadable := []string{}
	next, err := client.EachEvent(ctx, query, list.AddEvent,
		func(item string) { unreadable = append(unreadable, item) })
	if err != nil {
		return cutOff(list, noSuchDestination(ctx, client, query.Destination, err))
	}
	if err := list.End(console.Field{Name: "next_cursor", Value: next},
		console.Field{Name: "unreadable", Value: unreadable}); err != nil {
		return err
	}
	if form.Kind != console.JSON { // there it is part of the list
		for _, item := range unreadable {
			fmt.Fprintln(command.ErrOrStderr(), "passed over, because it is no event:", item)
		}
	}
	console.TellOfMore(command.ErrOrStderr(), form, list.Len(), next)
	if list.Len() == 0 {
		tellOfNames(ctx, client, command.ErrOrStderr(), query.Source, query.Destination)
	}
	return nil
}

// ofOnePage is the query of one page of a list, which may be longer.
func ofOnePage(query adminapi.EventQuery) adminapi.EventQuery {
	query.Limit = min(query.Limit, pillarbox.MaxListLimit)
	return query
}

// cutOff is the error of a list. It says so where a part of the list was written already.
func cutOff(list *console.List, err error) error {
	if list.Len() == 0 {
		return err
	}
	return fmt.Errorf("the list is cut off after %d: %w", list.Len(), err)
}

// followEvents prints events as they are stored, until Ctrl-C, whether or not the server is
// restarted meanwhile.
func followEvents(ctx context.Context, command *cobra.Command, client *adminclient.Client,
	query adminapi.EventQuery, form console.Form) error {
	w, talk := command.OutOrStdout(), command.ErrOrStderr()
	if form.Kind == console.Table {
		fmt.Fprintln(w, "following; end with Ctrl-C")
	}
	err := client.FollowOn(ctx, adminclient.Follow{
		Query: query,
		Event: func(event *pillarbox.Event) error { return printFollowed(w, event, form) },
		Lost:  func(err error) { tellOfOutage(talk, err) },
	})
	if ctx.Err() != nil {
		return nil // Ctrl-C is how it ends
	}
	return noSuchDestination(ctx, client, query.Destination, err)
}

func tellOfOutage(talk io.Writer, err error) {
	fmt.Fprintf(talk, "the server is gone (%v); going on behind the last event as soon as it answers\n", err)
}

// printFollowed prints one event, on a line of its own in JSON.
func printFollowed(w io.Writer, event *pillarbox.Event, form console.Form) error {
	switch form.Kind {
	case console.JSON:
		line, err := json.Marshal(event)
		if err != nil {
			return err
		}
		_, err = w.Write(append(line, '\n'))
		return err
	case console.CSV:
		single := console.Rows{}
		single.Add(console.EventRow(event, form)...)
		return single.WriteBody(w, form)
	}
	_, err := fmt.Fprintf(w, "%s  %s  %s  %s\n", event.Timestamp, console.Printable(event.RequestID),
		event.Source, console.Printable(console.BodyPreview(event)))
	return err
}

func newExplainCommand(global *globalFlags) *cobra.Command {
	var form console.Form
	command := &cobra.Command{
		Use:   "explain REQUEST_ID",
		Short: "Tell the story of one event: accepted, attempts, skipped or held, stored or dead, replayed",
		Args:  oneArg,
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
