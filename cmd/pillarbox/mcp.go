package main

import (
	"context"
	"io"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/spf13/cobra"

	"pillarbox/internal/adminclient"
	"pillarbox/internal/assistant"
)

func newMCPCommand(global *globalFlags) *cobra.Command {
	write := false
	command := &cobra.Command{
		Use: "mcp", Short: "Offer a server to an assistant, over standard input and output", Args: noArgs,
		Long: `Speak the Model Context Protocol over standard input and output, for an assistant that starts this command. Its tools look at a running
server, or at the data directory of one that does not run: status, ledger, events, explain, failures by cause, dead letters, alerts, jobs.
With --write they also replay, discard, pause and resume: a replay or a discard is a dry run unless the assistant says that it is not.

What the tools may do is bounded by the token as well (admin.tokens with the scope read or replay), and is in the trail under its
name. Events hold what clients have sent: an assistant may take such a text for an instruction, so give it --write only where you
would let it act.`,
		Example: `  pillarbox mcp --server http://127.0.0.1:8081`,
		RunE: func(command *cobra.Command, _ []string) error {
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				server := assistant.New(assistant.Options{Client: client, Write: write, Version: version()})
				return server.Run(ctx, &mcp.IOTransport{Reader: io.NopCloser(command.InOrStdin()), Writer: keepOpen{command.OutOrStdout()}})
			})
		},
	}
	command.Flags().BoolVar(&write, "write", false, "also tools that change something")
	return command
}

// keepOpen is standard output, which whoever has finished with it does not close.
type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }
