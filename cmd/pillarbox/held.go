package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/console"
	"pillarbox/internal/held"
)

func newHeldCommand(global *globalFlags) *cobra.Command {
	command := &cobra.Command{
		Use: "held", Short: "List, route, bury or forget events that no destination takes any more", Args: noSuchCommand,
		Long: `Events are held when they were accepted for a destination and no configured destination takes them any more: a source or a
destination was renamed or removed while they were pending. They are pending, cost nothing, and stay until they are
delivered after all, because the configuration takes them again, or until you decide about them here.`,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(
		newHeldList(global),
		newHeldAct(global, heldAct{
			use: "route", short: "Give held events to another destination", to: true, done: "routed",
			call: (*adminclient.Client).RouteHeld,
		}),
		newHeldAct(global, heldAct{
			use: "dead-letter", short: "Make dead letters of held events", done: "made dead letters",
			call: (*adminclient.Client).DeadLetterHeld,
		}),
		newHeldAct(global, heldAct{
			use: "forget", short: "Give held events up: they count as skipped from then on", done: "forgotten",
			call: (*adminclient.Client).ForgetHeld,
		}),
	)
	return command
}

// heldFlags are the filters of all commands on held events.
func heldFlags(command *cobra.Command, destination, source, since, until *string) {
	set := command.Flags()
	set.StringVar(destination, "destination", "", "only what was meant for this destination")
	set.StringVar(source, "source", "", "only events of this source")
	set.StringVar(since, "since", "", "accepted since: RFC 3339, or ago as in 24h")
	set.StringVar(until, "until", "", "accepted before")
}

func newHeldList(global *globalFlags) *cobra.Command {
	var form console.Form
	var events bool
	query := adminclient.HeldQuery{}
	command := &cobra.Command{
		Use: "list", Short: "Count held events by destination and source, or list them with --events", Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			if err := checkLimit(query.Limit); err != nil {
				return err
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				if events {
					return listHeld(ctx, command, client, query, form)
				}
				groups, err := client.HeldGroups(ctx, query)
				if err != nil {
					return noSuchDestination(ctx, client, query.Destination, err)
				}
				if len(groups.Groups) == 0 {
					tellOfNames(ctx, client, command.ErrOrStderr(), query.Source, query.Destination)
				}
				return console.WriteHeldGroups(command.OutOrStdout(), groups, form)
			})
		},
	}
	heldFlags(command, &query.Destination, &query.Source, &query.Since, &query.Until)
	command.Flags().StringVar(&query.RequestID, "id", "", "only this event")
	command.Flags().BoolVar(&events, "events", false, "the events themselves")
	command.Flags().IntVar(&query.Limit, "limit", pillarbox.DefaultListLimit,
		fmt.Sprintf("how many events, 1 to %d", maxList))
	command.Flags().StringVar(&query.Cursor, "cursor", "",
		"go on behind a page of events, with the next_cursor of -o json")
	outputFlag(command, &form)
	return command
}

func listHeld(ctx context.Context, command *cobra.Command, client *adminclient.Client,
	query adminclient.HeldQuery, form console.Form) error {
	list := console.NewHeld(command.OutOrStdout(), form)
	next, err := client.EachHeld(ctx, query, list.AddHeld)
	if err != nil {
		return cutOff(list, noSuchDestination(ctx, client, query.Destination, err))
	}
	if err := list.End(console.Field{Name: "next_cursor", Value: next}); err != nil {
		return err
	}
	console.TellOfMore(command.ErrOrStderr(), form, list.Len(), next)
	if list.Len() == 0 {
		tellOfNames(ctx, client, command.ErrOrStderr(), query.Source, query.Destination)
	}
	return nil
}

// heldAct is a command that decides about held events.
type heldAct struct {
	use, short, done string
	to               bool
	call             func(*adminclient.Client, context.Context, adminapi.HeldRequest) (*held.Result,
		error)
}

func newHeldAct(global *globalFlags, act heldAct) *cobra.Command {
	var form console.Form
	request := adminapi.HeldRequest{}
	command := &cobra.Command{
		Use: act.use + " [REQUEST_ID ...]", Short: act.short,
		RunE: func(command *cobra.Command, args []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			if act.to && request.To == "" {
				return usageError{fmt.Errorf("--to names the destination that gets the events")}
			}
			request.RequestIDs = args
			ctx := command.Context()
			client, err := global.connectServer(ctx, "pillarbox held "+act.use)
			if err != nil {
				return err
			}
			result, err := act.call(client, ctx, request)
			if err != nil {
				return asUsageError(noSuchDestination(ctx, client, cmp.Or(request.To, request.Destination),
					err))
			}
			if result.Matched == 0 {
				tellOfNames(ctx, client, command.ErrOrStderr(), request.Source, request.Destination)
			}
			return console.WriteHeldResult(command.OutOrStdout(), result, act.done, form)
		},
	}
	heldFlags(command, &request.Destination, &request.Source, &request.Since, &request.Until)
	command.Flags().BoolVar(&request.All, "all", false, "everything that is held")
	command.Flags().BoolVar(&request.DryRun, "dry-run", false, "count, and touch nothing")
	if act.to {
		command.Flags().StringVar(&request.To, "to", "", "the destination that gets them")
	}
	outputFlag(command, &form)
	return command
}
