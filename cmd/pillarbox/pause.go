package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"pillarbox/internal/adminclient"
)

func newPauseCommand(global *globalFlags) *cobra.Command {
	var reason string
	command := &cobra.Command{
		Use: "pause DESTINATION", Short: "Stop delivering to a destination, until \"resume\"", Args: oneArg,
		Long: `Stop delivering to a destination, for as long as somebody works on it, say. Events are accepted all the same and are pending; what
is on its way is delivered. A pause outlives restarts. Other destinations go on, and dead letters are not replayed to this one.

A destination that does not answer is "down", which nobody has to resume.`,
		Example: `  pillarbox pause events --reason "migration of the table"
  pillarbox resume events`,
		RunE: func(command *cobra.Command, args []string) error {
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				paused, err := client.Pause(ctx, args[0], reason)
				if err != nil {
					return asUsageError(err)
				}
				_, err = fmt.Fprintf(command.ErrOrStderr(), "nothing is delivered to %s until \"pillarbox resume %[1]s\"\n", paused.Destination)
				return err
			})
		},
	}
	command.Flags().StringVar(&reason, "reason", "", "for others who wonder, up to 500 bytes")
	return command
}

func newResumeCommand(global *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use: "resume DESTINATION", Short: "Go on delivering to a destination that was paused", Args: oneArg,
		RunE: func(command *cobra.Command, args []string) error {
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				resumed, err := client.Resume(ctx, args[0])
				if err != nil {
					return asUsageError(err)
				}
				_, err = fmt.Fprintf(command.ErrOrStderr(), "%s is delivered to\n", resumed.Destination)
				return err
			})
		},
	}
}
