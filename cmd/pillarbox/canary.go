package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"pillarbox/internal/adminclient"
	"pillarbox/internal/canary"
	"pillarbox/internal/console"
	"pillarbox/internal/posting"
)

func newCanaryCommand(global *globalFlags) *cobra.Command {
	var form console.Form
	flags, timeout := &postFlags{n: 1, concurrency: 1, bodyGiven: true}, canary.DefaultTimeout
	command := &cobra.Command{
		Use: "canary [URL]", Short: "Send a synthetic event and wait until it can be read back", Args: cobra.MaximumNArgs(1),
		Long: `Send an event through the public door, to the URL or the first source of the configuration, and wait until every destination has it that
takes it, as the server's account of the event says. It prints how long each part took, and exits with 1 where the event was not
accepted, not stored in time, or nobody knows.

The event is one like any other, marked by the header Pillarbox-Canary: give it a source of its own, and leave that source out of the
destinations whose data it is not to be in. Run it from a timer, and you know that the whole way works. A server does the same by
itself, with an event that is in nobody's data, where canary.enabled is true.`,
		Example: `  pillarbox canary http://localhost:8080/canary
  pillarbox canary https://in.example.com/canary -H "Authorization: Bearer $KEY" --server https://admin.example.com -o json`,
		RunE: func(command *cobra.Command, args []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			if timeout < time.Second {
				return usageError{fmt.Errorf("--timeout is %s; it may be 1s or more", timeout)}
			}
			sender, err := canarySender(command, global, flags, args)
			if err != nil {
				return err
			}
			return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
				result, err := canary.Run(ctx, canary.Options{Sender: sender, Story: client.Story, Timeout: timeout})
				if err != nil {
					return err
				}
				if err := writeCanary(command.OutOrStdout(), result, form); err != nil || result.OK {
					return err
				}
				return silentError{}
			})
		},
	}
	set := command.Flags()
	set.DurationVar(&timeout, "timeout", canary.DefaultTimeout, "until all destinations are to have it")
	set.StringArrayVarP(&flags.headers, "header", "H", nil, "header to send, as \"Name: value\"; may be repeated")
	outputFlag(command, &form)
	return command
}

// canarySender posts to where the event is to go.
func canarySender(command *cobra.Command, global *globalFlags, flags *postFlags, args []string) (*posting.Sender, error) {
	to, err := postTarget(command, global, flags, args)
	if err != nil {
		return nil, err
	}
	transport, err := global.transport(to, 1)
	if err != nil {
		return nil, err
	}
	flags.contentType = "application/json"
	header, err := flags.header([]byte("{}"), true)
	if err != nil {
		return nil, err
	}
	header.Set(canary.Header, version())
	return &posting.Sender{URL: to.url, Header: header,
		Poster: &adminclient.Poster{HTTP: &http.Client{Timeout: postTimeout, Transport: transport}}}, nil
}

func writeCanary(out io.Writer, result *canary.Result, form console.Form) error {
	if form.Kind == console.JSON {
		return console.WriteJSON(out, result)
	}
	table := &console.Rows{Head: []string{"what", "state", "seconds"}}
	table.Add("public door", map[bool]string{true: "accepted", false: "not accepted"}[result.RequestID != ""], fmt.Sprintf("%.3f", result.Accepted))
	for _, d := range result.Destinations {
		table.Add(d.Destination, d.State, fmt.Sprintf("%.3f", d.Seconds))
	}
	if err := table.Write(out, form); err != nil || form.Kind == console.CSV {
		return err
	}
	text := "the whole way works: event " + result.RequestID
	if !result.OK {
		text = result.Reason
	}
	_, err := fmt.Fprintln(out, console.Printable(text))
	return err
}
