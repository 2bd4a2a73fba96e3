package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"

	"github.com/spf13/cobra"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/console"
)

func newQuarantineCommand(global *globalFlags) *cobra.Command {
	command := &cobra.Command{
		Use: "quarantine", Short: "List, show, release or discard requests whose signature fails", Args: noSuchCommand,
		Long: `A source with signature.on_failure: quarantine keeps single requests that are not signed as it asks, in the data
directory and apart from all events: they are delivered to nobody, and deleted after quarantine.max_age. Their headers and bodies
as they came are sealed, and only used to verify them again.

To release one verifies it with the secrets that the source has now, and a signed time against the time at which it came; it is then
accepted under its own id and timestamp, and waits in the queue from then on. With a running server the server does the work; without
one this process does.`,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newQuarantineList(global), newQuarantineShow(global), newQuarantineRelease(global),
		newQuarantineDiscard(global))
	return command
}

func newQuarantineList(global *globalFlags) *cobra.Command {
	var form console.Form
	query := adminapi.QuarantineQuery{}
	command := &cobra.Command{
		Use: "list", Short: "List requests in quarantine, the oldest first", Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			if err := checkLimit(query.Limit); err != nil {
				return err
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				page, err := wholeQuarantine(ctx, client, query)
				if err != nil {
					return err
				}
				return console.WriteQuarantine(command.OutOrStdout(), command.ErrOrStderr(), page, form)
			})
		},
	}
	set := command.Flags()
	set.StringVar(&query.Source, "source", "", "only of this source")
	set.IntVar(&query.Limit, "limit", pillarbox.DefaultListLimit, fmt.Sprintf("how many, 1 to %d", maxList))
	set.StringVar(&query.Cursor, "cursor", "", "go on behind a page, with the next_cursor of -o json")
	outputFlag(command, &form)
	return command
}

// wholeQuarantine reads as many pages as it takes.
func wholeQuarantine(ctx context.Context, client *adminclient.Client, query adminapi.QuarantineQuery) (*adminapi.QuarantinePage, error) {
	all := &adminapi.QuarantinePage{Quarantine: []adminapi.QuarantineEntry{}, Unreadable: []string{}}
	for {
		next := query
		next.Limit = min(query.Limit-len(all.Quarantine), pillarbox.MaxListLimit)
		page, err := client.Quarantine(ctx, next)
		if err != nil {
			return nil, err
		}
		all.Quarantine = append(all.Quarantine, page.Quarantine...)
		all.Unreadable = append(all.Unreadable, page.Unreadable...)
		all.NextCursor, query.Cursor = page.NextCursor, page.NextCursor
		if page.NextCursor == "" || len(all.Quarantine) >= query.Limit {
			return all, nil
		}
	}
}

func newQuarantineShow(global *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "show REQUEST_ID", Short: "Show one request as JSON: the event that it would be, and why its signature failed", Args: oneArg,
		RunE: func(command *cobra.Command, args []string) error {
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				entry, err := client.Quarantined(ctx, args[0])
				if err != nil {
					return err
				}
				return console.WriteJSON(command.OutOrStdout(), entry)
			})
		},
	}
}

// chosen are the requests that a person decides about.
type chosen struct {
	all    bool
	source string
}

func (c *chosen) flags(command *cobra.Command) {
	command.Flags().BoolVar(&c.all, "all", false, "all of them")
	command.Flags().StringVar(&c.source, "source", "", "all of this source")
}

func (c *chosen) check(args []string) error {
	switch named := len(args) > 0; {
	case !named && !c.all && c.source == "":
		return usageError{errors.New("say which: request ids, --source, or --all")}
	case named && (c.all || c.source != ""):
		return usageError{errors.New("request ids can't be used together with --source and --all")}
	}
	return nil
}

// each decides about each of them. What is refused is told, and does not keep the others from it.
func (c *chosen) each(ctx context.Context, command *cobra.Command, client *adminclient.Client, ids []string,
	decide func(id string) error) error {
	if len(ids) == 0 {
		page, err := wholeQuarantine(ctx, client, adminapi.QuarantineQuery{Source: c.source, Limit: maxList})
		if err != nil {
			return err
		}
		for _, entry := range page.Quarantine {
			ids = append(ids, entry.Event.RequestID)
		}
		if len(ids) == 0 {
			_, err := fmt.Fprintln(command.ErrOrStderr(), "there is nothing of it in quarantine")
			return err
		}
	}
	failed := 0
	for _, id := range ids {
		err := decide(id)
		if err != nil && len(ids) == 1 {
			return err
		}
		if err != nil {
			failed++
			fmt.Fprintf(command.ErrOrStderr(), "%s: %s\n", console.Printable(id), console.Printable(err.Error()))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if failed > 0 {
		return silentError{}
	}
	return nil
}

func newQuarantineRelease(global *globalFlags) *cobra.Command {
	var force bool
	which := chosen{}
	command := &cobra.Command{
		Use:   "release [REQUEST_ID ...]",
		Short: "Accept requests whose signature proves them now",
		Long: `Verify the named requests again, or those of a source, or all, and accept those that prove themselves: with the secrets that the
source has now, and the time at which each came. To release a request twice stores it once. --force releases without a good
signature; the trail (audit --trail) says so, and the event has the attribute "unverified" with the reason for which its signature failed.`,
		Example: `  pillarbox quarantine release --source shop
  pillarbox quarantine release 01a20982-735b-7980-86a3-0c4338e0f4c0 --force`,
		RunE: func(command *cobra.Command, args []string) error {
			if err := which.check(args); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt)
			defer stop()
			return workWith(ctx, global.connectToWrite, func(ctx context.Context, client *adminclient.Client) error {
				return which.each(ctx, command, client, args, func(id string) error {
					receipt, err := client.Release(ctx, id, force)
					if err != nil {
						return err
					}
					text := id + " is accepted"
					if receipt.RequestID != id {
						text = id + " was accepted before, as " + receipt.RequestID
					}
					_, err = fmt.Fprintln(command.OutOrStdout(), text)
					return err
				})
			})
		},
	}
	which.flags(command)
	command.Flags().BoolVar(&force, "force", false, "without a good signature")
	return command
}

func newQuarantineDiscard(global *globalFlags) *cobra.Command {
	which := chosen{}
	command := &cobra.Command{
		Use: "discard [REQUEST_ID ...]", Short: "Delete requests for good",
		RunE: func(command *cobra.Command, args []string) error {
			if err := which.check(args); err != nil {
				return err
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				return which.each(ctx, command, client, args, func(id string) error {
					if err := client.DiscardQuarantined(ctx, id); err != nil {
						return err
					}
					_, err := fmt.Fprintf(command.OutOrStdout(), "%s is discarded, and gone\n", id)
					return err
				})
			})
		},
	}
	which.flags(command)
	return command
}
