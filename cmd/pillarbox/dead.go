package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/console"
	"pillarbox/internal/replay"
)

func newDeadCommand(global *globalFlags) *cobra.Command {
	command := &cobra.Command{
		Use: "dead", Short: "List, group, show, replay or discard dead letters", Args: noSuchCommand,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newDeadList(global), newDeadGroups(global), newDeadShow(global), newDeadReplay(global),
		newDeadDiscard(global))
	return command
}

func newDeadList(global *globalFlags) *cobra.Command {
	var form console.Form
	query := adminapi.DeadLetterQuery{}
	command := &cobra.Command{
		Use: "list", Short: "List dead letters; --since and --until are times of death", Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			if err := checkLimit(query.Limit); err != nil {
				return err
			}
			page := query
			page.Limit = min(page.Limit, pillarbox.MaxListLimit)
			if err := page.Check(); err != nil {
				return usageError{err}
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				return listLetters(ctx, command, client, query, form)
			})
		},
	}
	set := command.Flags()
	set.StringVar(&query.Destination, "destination", "", "only of this destination")
	set.StringVar(&query.Source, "source", "", "only events of this source")
	set.StringVar(&query.RequestID, "id", "", "only of this event")
	set.StringVar(&query.Since, "since", "", "dead since: RFC 3339, or ago as in 24h")
	set.StringVar(&query.Until, "until", "", "dead before")
	set.StringVar(&query.Error, "error", "", "only with this text in the reason or the last error")
	set.StringVar(&query.Cause, "cause", "", "only of this group (pillarbox dead groups)")
	set.BoolVar(&query.Resolved, "resolved", false, "replayed and discarded ones too")
	set.IntVar(&query.Limit, "limit", pillarbox.DefaultListLimit,
		fmt.Sprintf("how many, 1 to %d", maxList))
	set.StringVar(&query.Cursor, "cursor", "", "go on behind a page, with the next_cursor of -o json")
	outputFlag(command, &form)
	return command
}

func listLetters(ctx context.Context, command *cobra.Command, client *adminclient.Client,
	query adminapi.DeadLetterQuery, form console.Form) error {
	list, talk := console.NewDeadLetters(command.OutOrStdout(), form), command.ErrOrStderr()
	broken := []string{}
	next, err := client.EachDeadLetter(ctx, query, list.AddDeadLetter, func(text string) {
		broken = append(broken, text)
	})
	if err != nil {
		return cutOff(list, err)
	}
	if err := list.End(console.Field{Name: "next_cursor", Value: next},
		console.Field{Name: "unreadable", Value: broken}); err != nil {
		return err
	}
	for _, text := range broken {
		if form.Kind != console.JSON {
			fmt.Fprintln(talk, "can't be read:", console.Printable(text))
		}
	}
	console.TellOfMore(talk, form, list.Len(), next)
	if list.Len() == 0 && len(broken) == 0 {
		tellOfNames(ctx, client, talk, query.Source, query.Destination)
	}
	return nil
}

func newDeadGroups(global *globalFlags) *cobra.Command {
	var form console.Form
	query, retrying := adminapi.DeadLetterQuery{}, false
	command := &cobra.Command{
		Use: "groups", Short: "Count dead letters, or what is being retried, by cause", Args: noArgs,
		Long: `Count open dead letters by destination and cause: the error without what differs from event to event, as ids, numbers and quoted
values. --retrying counts events instead that were refused and wait for another attempt. A group is listed and replayed with
--cause.`,
		Example: `  pillarbox dead groups
  pillarbox dead groups --retrying
  pillarbox dead replay --cause 'HTTP 422: no user N' --dry-run`,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			if err := query.Check(); err != nil {
				return usageError{err}
			}
			if retrying && (query.Source != "" || query.Since != "" || query.Until != "" || query.Error != "") {
				return usageError{errors.New("with --retrying only --destination selects")}
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				groups, err := client.DeadLetterGroups(ctx, query)
				if retrying {
					groups, err = client.RetryingGroups(ctx, query.Destination)
				}
				if err != nil {
					return noSuchDestination(ctx, client, query.Destination, err)
				}
				return console.WriteGroups(command.OutOrStdout(), command.ErrOrStderr(), groups, form)
			})
		},
	}
	set := command.Flags()
	set.BoolVar(&retrying, "retrying", false, "what waits for another attempt, instead of dead letters")
	set.StringVar(&query.Destination, "destination", "", "only of this destination")
	set.StringVar(&query.Source, "source", "", "only events of this source")
	set.StringVar(&query.Since, "since", "", "dead since: RFC 3339, or ago as in 24h")
	set.StringVar(&query.Until, "until", "", "dead before")
	set.StringVar(&query.Error, "error", "", "only with this text in the reason or the last error")
	outputFlag(command, &form)
	return command
}

func newDeadShow(global *globalFlags) *cobra.Command {
	var destination string
	command := &cobra.Command{
		Use: "show REQUEST_ID", Short: "Show one dead letter as JSON: the event, every attempt, and how to replay it", Args: oneArg,
		RunE: func(command *cobra.Command, args []string) error {
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				letter, err := client.DeadLetter(ctx, destination, args[0])
				if err != nil {
					return oneOfSeveral(ctx, client, destination, args[0], err)
				}
				return console.WriteJSON(command.OutOrStdout(), letter)
			})
		},
	}
	command.Flags().StringVar(&destination, "destination", "",
		"whose dead letter, where several destinations have one")
	return command
}

// oneOfSeveral is the error of a command on one letter. It says how to choose where several
// destinations have one.
func oneOfSeveral(ctx context.Context, client *adminclient.Client, destination, requestID string,
	err error) error {
	if destination != "" || !errors.Is(err, pillarbox.ErrConflict) {
		return noSuchDestination(ctx, client, destination, err)
	}
	var names []string
	_, listErr := client.EachDeadLetter(ctx,
		adminapi.DeadLetterQuery{RequestID: requestID, Resolved: true},
		func(letter *pillarbox.DeadLetter) error {
			names = append(names, letter.Destination)
			return nil
		}, func(string) {})
	if listErr != nil {
		return err
	}
	if names = slices.Compact(slices.Sorted(slices.Values(names))); len(names) < 2 {
		return err
	}
	return fmt.Errorf("%w; choose one with --destination: %s", err, strings.Join(names, ", "))
}

func newDeadDiscard(global *globalFlags) *cobra.Command {
	var destination string
	command := &cobra.Command{
		Use: "discard REQUEST_ID", Short: "Give a dead letter up; its file is kept and marked", Args: oneArg,
		RunE: func(command *cobra.Command, args []string) error {
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				if _, err := client.Discard(ctx, destination, args[0]); err != nil {
					return oneOfSeveral(ctx, client, destination, args[0], err)
				}
				_, err := fmt.Fprintf(command.OutOrStdout(), "%s is discarded; its file is kept\n", args[0])
				return err
			})
		},
	}
	command.Flags().StringVar(&destination, "destination", "",
		"whose dead letter, where several destinations have one")
	return command
}

func newDeadReplay(global *globalFlags) *cobra.Command {
	var form console.Form
	var all bool
	request := adminapi.ReplayRequest{}
	command := &cobra.Command{
		Use:   "replay [REQUEST_ID ...]",
		Short: "Put dead letters back to the destination that refused them",
		Long: `Replay the named dead letters, or those that the filters select, or --all open ones. Events keep
their timestamp and request id, so that replaying twice stores once. The first letter goes alone; the
replay stops when too many are refused again. Letters of a destination that is down stay open. --dry-run
counts and shows a sample, and touches nothing. With --through-queue, a letter counts as replayed once
it is back in the queue, which hands it out a minute later; should its event be refused again, it
becomes a dead letter again.`,
		Example: `  pillarbox dead replay --all --dry-run
  pillarbox dead replay --since 24h --error "no such column" --rate 100
  pillarbox dead replay 01a20982-735b-7980-86a3-0c4338e0f4c0`,
		RunE: func(command *cobra.Command, args []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			if request.RequestIDs = nil; len(args) > 0 {
				request.RequestIDs = args
			}
			if err := request.Check(); err != nil {
				return usageError{err}
			}
			filtered := len(args) > 0 || request.Destination != "" || request.Source != "" ||
				request.Since != "" || request.Until != "" || request.Error != "" || request.Cause != ""
			if !filtered && !all {
				return usageError{fmt.Errorf("say which: request ids, a filter, or --all")}
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				return replayLetters(ctx, command, client, request, form)
			})
		},
	}
	set := command.Flags()
	set.BoolVar(&all, "all", false, "all open dead letters")
	set.StringVar(&request.Destination, "destination", "", "only of this destination")
	set.StringVar(&request.Source, "source", "", "only events of this source")
	set.StringVar(&request.Since, "since", "", "dead since: RFC 3339, or ago as in 24h")
	set.StringVar(&request.Until, "until", "", "dead before")
	set.StringVar(&request.Error, "error", "", "only with this text in the reason or the last error")
	set.StringVar(&request.Cause, "cause", "", "only of this group (pillarbox dead groups)")
	set.BoolVar(&request.DryRun, "dry-run", false, "count and show a sample, touch nothing")
	set.Float64Var(&request.Rate, "rate", 0, "letters per second (default as fast as it goes)")
	set.IntVar(&request.MaxFailed, "max-failed", replay.DefaultMaxFailed,
		"stop after so many were refused again; -1 for never")
	set.IntVar(&request.Limit, "limit", 0, "letters at most (default all)")
	set.BoolVar(&request.ThroughQueue, "through-queue", false,
		"put events back into the queue and let others deliver them (SQS)")
	outputFlag(command, &form)
	return command
}

func replayLetters(ctx context.Context, command *cobra.Command, client *adminclient.Client,
	request adminapi.ReplayRequest, form console.Form) error {
	closed, err := closedLetters(ctx, client, &request)
	if err != nil {
		return err
	}
	progress, err := client.StartReplay(ctx, request)
	if err != nil {
		return noSuchDestination(ctx, client, request.Destination, err)
	}
	id := progress.ID
	progress, err = follow(ctx, command.ErrOrStderr(), progress,
		func(p *replay.Progress) string { return waitingFor("replaying", p.Waiting) },
		func(ctx context.Context) (*replay.Progress, error) { return client.Replay(ctx, id) },
		func(ctx context.Context) (*replay.Progress, error) { return client.CancelReplay(ctx, id) })
	if err != nil {
		return err
	}
	if err := console.WriteReplay(command.OutOrStdout(), command.ErrOrStderr(), progress,
		form); err != nil {
		return err
	}
	if progress.Matched == 0 && progress.Unreadable == 0 {
		tellOfNames(ctx, client, command.ErrOrStderr(), request.Source, request.Destination)
	}
	switch {
	case len(closed) > 0:
		return notOpen(closed)
	case len(request.RequestIDs) > 0 && progress.Matched == 0 && progress.Unreadable == 0:
		return errors.New("no letter that was named matches the other filters")
	case progress.State != replay.StateDone, progress.Failed > 0, progress.Unreadable > 0:
		return silentError{}
	}
	return nil
}

// closedLetters takes the ids that no open letter has out of the request, and returns them with the
// reason. It looks before the replay: afterwards all are replayed. Where no id is left it is an
// error.
func closedLetters(ctx context.Context, client *adminclient.Client,
	request *adminapi.ReplayRequest) (closed []string, err error) {
	if len(request.RequestIDs) == 0 {
		return nil, nil
	}
	var open []string
	for _, id := range request.RequestIDs {
		why, err := whyClosed(ctx, client, request.Destination, id)
		if err != nil {
			return nil, err
		}
		if why != "" {
			closed = append(closed, id+" "+why)
		} else {
			open = append(open, id)
		}
	}
	if len(open) == 0 {
		return nil, noSuchDestination(ctx, client, request.Destination, notOpen(closed))
	}
	request.RequestIDs = open
	return closed, nil
}

// whyClosed says why none of the letters of an event can be replayed, or nothing. What can't be
// read the replay reports.
func whyClosed(ctx context.Context, client *adminclient.Client, destination,
	id string) (why string, err error) {
	why, open := "is unknown", false
	_, err = client.EachDeadLetter(ctx,
		adminapi.DeadLetterQuery{Destination: destination, RequestID: id, Resolved: true},
		func(letter *pillarbox.DeadLetter) error {
			if letter.Resolved == nil {
				open = true
			} else {
				why = "was " + letter.Resolved.How + " already, at " + letter.Resolved.At.String()
			}
			return nil
		}, func(string) { open = true })
	if err != nil || open {
		return "", err
	}
	return why, nil
}

func notOpen(closed []string) error {
	return fmt.Errorf("not replayed, because there is no open dead letter: %s: %w",
		strings.Join(closed, "; "), pillarbox.ErrNotFound)
}
