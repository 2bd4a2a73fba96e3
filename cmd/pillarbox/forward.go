package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/console"
	"pillarbox/internal/forward"
)

func newListenCommand(global *globalFlags) *cobra.Command {
	var form console.Form
	options, query := forward.Options{}, adminapi.EventQuery{}
	command := &cobra.Command{
		Use: "listen URL", Short: "Forward live events to a program on this machine, while developing", Args: cobra.ExactArgs(1),
		Long: `Forward each event, as soon as it is stored, to a program on this machine: as the request that came, with its method, headers and body, so
that signatures hold. What there was before comes first with --since. It goes on until it is interrupted, also when the server is
restarted, and sends each event once, whatever the program answers. The server and what it stores do not notice.

The request has the headers Pillarbox-Request-Id, Pillarbox-Timestamp and Pillarbox-Source as well. What the server redacts is redacted
here, too. URL gets every event, with the query of its request unless it has one; --append-path puts the path of the request behind it.`,
		Example: `  pillarbox listen http://localhost:3000/webhooks
  pillarbox listen http://localhost:3000 --append-path --since 1h --source stripe
  pillarbox listen http://localhost:3000/webhooks --json /type=invoice.paid --server https://admin.example.com`,
		RunE: func(command *cobra.Command, args []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			if form.Kind == console.CSV {
				return usageError{fmt.Errorf("what is forwarded is a line or, with -o json, an object each")}
			}
			target, err := url.Parse(args[0])
			if err != nil {
				return usageError{err}
			}
			options.Target = target
			forwarder, err := forward.New(options)
			if err != nil {
				return usageError{err}
			}
			return listenTo(command, global, query, forwarder, form)
		},
	}
	set := command.Flags()
	selectFlags(set, &query)
	set.StringVar(&query.Since, "since", "", "begin with the events accepted since: a time, a day, or how long ago, as 1h")
	set.BoolVar(&options.AppendPath, "append-path", false, "put the path of each request behind that of URL")
	set.BoolVar(&options.Remote, "remote", false, "URL may be on another machine")
	set.DurationVar(&options.Timeout, "timeout", forward.DefaultTimeout, "for an answer of the program")
	command.PreRunE = func(*cobra.Command, []string) error {
		if options.Timeout < time.Second {
			return usageError{fmt.Errorf("--timeout is %s; it may be 1s or more", options.Timeout)}
		}
		if err := query.Check(); err != nil {
			return usageError{err}
		}
		return nil
	}
	outputFlag(command, &form)
	return command
}

// listenTo forwards until Ctrl-C, and then says how much it was.
func listenTo(command *cobra.Command, global *globalFlags, query adminapi.EventQuery, forwarder *forward.Forwarder,
	form console.Form) error {
	ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt)
	defer stop()
	client, err := global.connectServer(ctx, "listen")
	if err != nil {
		return err
	}
	if query, err = query.Fixed(time.Now()); err != nil {
		return usageError{err}
	}
	out, talk := command.OutOrStdout(), command.ErrOrStderr()
	tellOfNames(ctx, client, talk, query.Source, "") // a destination is refused
	fmt.Fprintln(talk, "forwarding; end with Ctrl-C")
	sent, failed := 0, 0
	err = client.FollowOn(ctx, adminclient.Follow{
		Query: query,
		Event: func(event *pillarbox.Event) error {
			result := forwarder.Forward(ctx, event)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if sent++; !result.OK() {
				failed++
			}
			return writeForwarded(out, result, form)
		},
		Lost: func(err error) { tellOfOutage(talk, err) },
	})
	if ctx.Err() != nil { // Ctrl-C is how it ends
		fmt.Fprintf(talk, "%d events were sent, and %d of them were not taken\n", sent, failed)
		return nil
	}
	return asUsageError(noSuchDestination(context.WithoutCancel(ctx), client, query.Destination, err))
}

func writeForwarded(w io.Writer, result *forward.Result, form console.Form) error {
	if form.Kind == console.JSON {
		return console.WriteJSONLine(w, result)
	}
	answer, style := fmt.Sprint(result.Status), console.Good
	switch {
	case result.Error != "":
		answer, style = result.Error, console.Bad
	case !result.OK():
		style = console.Warning
	}
	fmt.Fprintf(w, "%s  %s  %s  %s %s  ", result.Timestamp, console.Printable(result.RequestID), result.Source,
		console.Printable(result.Method), console.Printable(result.URL))
	if err := style.Write(w, console.Printable(answer)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "  %.0f ms", result.Seconds*1e3)
	if len(result.LeftOut) > 0 && err == nil {
		_, err = fmt.Fprintf(w, "  without the headers %s, which can't be sent as they came", console.Printable(fmt.Sprint(result.LeftOut)))
	}
	if err == nil {
		_, err = fmt.Fprintln(w)
	}
	return err
}
