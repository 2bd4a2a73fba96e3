package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/console"
)

func newKeysCommand(global *globalFlags) *cobra.Command {
	command := &cobra.Command{
		Use: "keys", Short: "Make, list and revoke API keys of sources", Args: noSuchCommand,
		Long: `API keys open the sources whose configuration asks for one, as in

  sources: { app: { auth: [{ api_key: true }] } }

Clients send a key as "Authorization: Bearer pb_..." or "X-Api-Key: pb_...". What comes without one is answered with 401 and not
stored. A key is in force, or at its end, when the command returns; nothing is restarted. Any number of keys may be in force at
once: to replace one, make another, and revoke the first when nobody uses it any more. Keys of one name count as one sender
where idempotency keys are compared.

Of a key only the SHA-256 is kept, in keys.json of the data directory, or in api_keys.url for all who share them: a server knows of a
change within ten seconds then, and a function on AWS within a minute. With a running server the server does the work; without one
this process does.`,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(newKeysCreate(global), newKeysList(global), newKeysRevoke(global))
	return command
}

func newKeysCreate(global *globalFlags) *cobra.Command {
	var form console.Form
	request := adminapi.KeyRequest{}
	command := &cobra.Command{
		Use: "create", Short: "Make a key and show it, once", Args: noArgs,
		Example: `  pillarbox keys create --source app --name shop
  pillarbox keys create --source app --expires 90d -o json`,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				key, err := client.CreateKey(ctx, request)
				if err != nil {
					return err
				}
				return console.WriteNewKey(command.OutOrStdout(), command.ErrOrStderr(), key, form)
			})
		},
	}
	set := command.Flags()
	set.StringVar(&request.Source, "source", "", "the only source that the key opens (default all that ask for keys)")
	set.StringVar(&request.Name, "name", "", "of who gets the key")
	set.StringVar(&request.Expires, "expires", "", "how long from now, as in 90d, or RFC 3339 (default never)")
	outputFlag(command, &form)
	return command
}

func newKeysList(global *globalFlags) *cobra.Command {
	var form console.Form
	command := &cobra.Command{
		Use: "list", Short: "List all keys, those that are revoked too", Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				keys, err := client.Keys(ctx)
				if err != nil {
					return err
				}
				return console.WriteKeys(command.OutOrStdout(), keys, form)
			})
		},
	}
	outputFlag(command, &form)
	return command
}

func newKeysRevoke(global *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "revoke ID", Short: "End a key for good, at once", Args: oneArg,
		RunE: func(command *cobra.Command, args []string) error {
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				key, err := client.RevokeKey(ctx, args[0])
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(command.OutOrStdout(), "the key %s is revoked since %s\n", key.ID, key.RevokedAt)
				return err
			})
		},
	}
}
