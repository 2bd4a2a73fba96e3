package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/alert"
	"pillarbox/internal/config"
	"pillarbox/internal/console"
)

func newAlertsCommand(global *globalFlags) *cobra.Command {
	var form console.Form
	command := &cobra.Command{
		Use: "alerts", Short: "Show which alerts fire, since when, and who was told", Args: noSuchCommand,
		Long: `Show which of the built-in alerts fire on a running server, since when, and who was told of them: the alerts of a high severity
first. "pending" holds, and not for long enough yet; "resolved" is over, and somebody is still to be told.

Who is told is in the configuration (alerts.receivers).`,
		Example: `  pillarbox alerts
  pillarbox alerts test ops`,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt)
			defer stop()
			client, err := global.connectServer(ctx, "alerts")
			if err != nil {
				return err
			}
			view, err := client.Alerts(ctx)
			if err != nil {
				return asUsageError(err)
			}
			return console.WriteAlerts(command.OutOrStdout(), command.ErrOrStderr(), view, form)
		},
	}
	outputFlag(command, &form)
	command.AddCommand(newAlertsTest(global))
	return command
}

func newAlertsTest(global *globalFlags) *cobra.Command {
	var form console.Form
	command := &cobra.Command{
		Use: "test [RECEIVER]", Short: "Send a test message, and say what the receivers answered", Args: cobra.MaximumNArgs(1),
		Long: `Send a message that is for trying it out to a receiver of alerts, or to all, and say what they answered. A running server sends it;
without one this process does, as the configuration says. The exit status is 1 where one has not taken it.`,
		RunE: func(command *cobra.Command, args []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			name := ""
			if len(args) == 1 {
				name = args[0]
			}
			ctx, stop := signal.NotifyContext(command.Context(), os.Interrupt)
			defer stop()
			results, err := testAlerts(ctx, global, name)
			if err != nil {
				return asUsageError(err)
			}
			if err := console.WriteAlertTest(command.OutOrStdout(), results, form); err != nil {
				return err
			}
			for _, r := range results.Results {
				if !r.Taken {
					return silentError{}
				}
			}
			return nil
		},
	}
	outputFlag(command, &form)
	return command
}

// testAlerts tries receivers out: through a running server, or else by itself.
func testAlerts(ctx context.Context, global *globalFlags, name string) (*adminapi.AlertTest, error) {
	cfg, err := global.load()
	if err != nil {
		return nil, err
	}
	remote, runs, err := global.reach(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if runs {
		return remote.TestAlerts(ctx, name)
	}
	return testFromConfiguration(ctx, cfg, name)
}

func testFromConfiguration(ctx context.Context, cfg *config.Config, name string) (*adminapi.AlertTest, error) {
	if len(cfg.Alerts.Receivers) == 0 {
		return nil, usageError{errors.New("no receiver is configured (alerts.receivers)")}
	}
	receivers, err := openReceivers(cfg)
	if err != nil {
		return nil, errors.Join(usageError{err}, closeReceivers(receivers))
	}
	results, err := alert.Test(ctx, receivers, name, nodeName(cfg), cfg.Alerts.Dashboard, time.Now())
	if err = errors.Join(err, closeReceivers(receivers)); err != nil {
		return nil, fmt.Errorf("test alerts: %w", err)
	}
	return &adminapi.AlertTest{Results: results}, nil
}
