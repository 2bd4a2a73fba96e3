package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func newHealthCommand(global *globalFlags) *cobra.Command {
	var ready bool
	command := &cobra.Command{
		Use: "health", Short: "Ask a running server whether it lives, or accepts", Args: noArgs,
		Long: `Ask the server for /healthz, or with --ready for /readyz, as the health check of a container or of a
load balancer does. It needs no token, and never opens the data directory: where no server answers within
two seconds, that is the answer. Nothing is printed unless something is wrong.

A server that is starting, draining, or whose queue refuses is alive and not ready.`,
		Example: `  pillarbox health
  pillarbox health --ready --admin unix:/run/pillarbox/admin.sock`,
		RunE: func(command *cobra.Command, _ []string) error {
			cfg, err := global.load()
			if err != nil {
				return err
			}
			server, _, err := global.remote(cfg)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(command.Context(), lookTime)
			defer cancel()
			if err := server.Healthy(ctx); err != nil {
				return fmt.Errorf("the server at %s is not alive: %w", server.Base(), err)
			}
			if !ready {
				return nil
			}
			if err := server.Ready(ctx); err != nil {
				return fmt.Errorf("the server at %s does not accept: %w", server.Base(), withToken(err))
			}
			return nil
		},
	}
	command.Flags().BoolVar(&ready, "ready", false, "ask whether it accepts, and not only whether it lives")
	return command
}
