package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/ledger"
)

// bodyPreview is how much of a body a table shows, in characters.
const bodyPreview = 60

func newEventsCommand(global *globalFlags) *cobra.Command {
	var form string
	var follow bool
	query := adminapi.EventQuery{}
	command := &cobra.Command{
		Use:   "events",
		Short: "List or follow stored events",
		Long: `List what a destination has stored, the newest first, or follow what is being stored. --since and
--until take RFC 3339, or how long ago, as in 15m, 24h or 7d. With -o json and --follow each event
is one line.`,
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
				return listEvents(ctx, command.OutOrStdout(), client, query, form)
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

func listEvents(ctx context.Context, w io.Writer, client *adminclient.Client,
	query adminapi.EventQuery, form string) error {
	page, err := client.Events(ctx, query)
	if err != nil {
		return err
	}
	if form == formJSON {
		return printJSON(w, page)
	}
	table := rows{head: eventHead(form)}
	for _, event := range page.Events {
		table.add(eventRow(event, form)...)
	}
	return table.print(w, form)
}

func eventHead(form string) []string {
	if form == formCSV {
		return []string{"timestamp", "request_id", "source", "method", "path", "query", "content_type",
			"remote_addr", "traceparent", "body", "body_encoding"}
	}
	return []string{"timestamp", "request_id", "source", "method", "content_type", "bytes", "body"}
}

func eventRow(event *pillarbox.Event, form string) []any {
	if form == formCSV {
		body, encoding := bodyText(event)
		return []any{event.Timestamp, event.RequestID, event.Source, event.Method, event.Path,
			event.Query, event.ContentType, event.RemoteAddr, event.Traceparent, body, encoding}
	}
	body := "(binary)"
	if utf8.Valid(event.Body) {
		body = shorten(string(event.Body), bodyPreview)
	}
	return []any{event.Timestamp, event.RequestID, event.Source, event.Method, event.ContentType,
		len(event.Body), body}
}

// bodyText is the body as the JSON form has it.
func bodyText(event *pillarbox.Event) (body, encoding string) {
	text, err := json.Marshal(event)
	if err != nil {
		return "", ""
	}
	var form struct {
		Body     string `json:"body"`
		Encoding string `json:"body_encoding"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return "", ""
	}
	return form.Body, form.Encoding
}

// followEvents prints events as they are stored, until Ctrl-C.
func followEvents(ctx context.Context, w io.Writer, client *adminclient.Client,
	query adminapi.EventQuery, form string) error {
	if form == formTable {
		fmt.Fprintln(w, "following; end with Ctrl-C")
	}
	err := client.FollowEvents(ctx, query, func(event *pillarbox.Event, _ string) error {
		switch form {
		case formJSON:
			line, err := json.Marshal(event)
			if err != nil {
				return err
			}
			_, err = w.Write(append(line, '\n'))
			return err
		case formCSV:
			single := rows{head: eventHead(form)}
			single.add(eventRow(event, form)...)
			return single.printBody(w)
		}
		body := "(binary)"
		if utf8.Valid(event.Body) {
			body = shorten(string(event.Body), bodyPreview)
		}
		_, err := fmt.Fprintf(w, "%s  %s  %s  %s\n", event.Timestamp, event.RequestID, event.Source,
			printable(body))
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
				return printStory(command.OutOrStdout(), story, form)
			})
		},
	}
	outputFlag(command, &form)
	return command
}

func printStory(w io.Writer, story *adminapi.Trace, form string) error {
	if form == formJSON {
		return printJSON(w, story)
	}
	event := story.Event
	steps := []storyStep{{event.Timestamp, "accepted", event.Source,
		fmt.Sprintf("%s %s, %d bytes of %s from %s", event.Method, event.Path, len(event.Body),
			event.ContentType, event.RemoteAddr)}}
	for _, delivery := range story.Deliveries {
		steps = append(steps, stepsOf(delivery)...)
	}
	slices.SortStableFunc(steps, func(a, b storyStep) int { return cmp.Compare(uint64(a.at-1), uint64(b.at-1)) }) // 0 comes last
	table := rows{head: []string{"time", "what", "where", "detail"}}
	for _, step := range steps {
		table.add(timeText(step.at), step.what, step.where, step.detail)
	}
	if err := table.print(w, form); err != nil || form == formCSV {
		return err
	}
	_, err := fmt.Fprintf(w, "\nthe event is %s\n", story.State)
	return err
}

// skipText is a rule by which an event was skipped, in words.
func skipText(rule string) string {
	words := map[string]string{
		pillarbox.SkippedBefore:    "accepted before the destination began",
		pillarbox.SkippedSource:    "the destination did not take its source when it was accepted",
		pillarbox.SkippedElsewhere: "the destination does not take it any more, and another one has it",
		pillarbox.SkippedRouted:    "it was held, and a person gave it to another destination",
		pillarbox.SkippedForgotten: "it was held, and a person gave it up",
	}
	return fmt.Sprintf("%s (rule %q)", words[rule], rule)
}

// storyStep is one thing that happened to an event.
type storyStep struct {
	at                  pillarbox.Timestamp // 0 for what is so now
	what, where, detail string
}

func stepsOf(d ledger.Delivery) (steps []storyStep) {
	for i, attempt := range d.Attempts {
		steps = append(steps, storyStep{attempt.At, fmt.Sprintf("attempt %d %s", i+1, attempt.Class),
			d.Destination, attempt.Error})
	}
	if d.DeadAt != nil {
		steps = append(steps, storyStep{*d.DeadAt, "dead letter", d.Destination, d.Reason})
	}
	if d.Resolved != nil {
		steps = append(steps, storyStep{d.Resolved.At, d.Resolved.How, d.Destination, ""})
	}
	switch {
	case d.StoredAt != nil:
		steps = append(steps, storyStep{*d.StoredAt, "stored", d.Destination, ""})
	case d.State == pillarbox.StatePending, d.State == ledger.StateHeld:
		steps = append(steps, storyStep{0, d.State, d.Destination, d.Reason})
	case d.State == ledger.StateSkipped:
		steps = append(steps, storyStep{0, d.State, d.Destination, skipText(d.Reason)})
	case d.Replay != "":
		steps = append(steps, storyStep{0, "replay it with", d.Destination, d.Replay})
	}
	return steps
}
