package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"pillarbox"
	"pillarbox/internal/atrest"
	"pillarbox/internal/console"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/engine/seglog"
	"pillarbox/internal/vfs"
)

func newQueueCommand(global *globalFlags) *cobra.Command {
	command := &cobra.Command{
		Use:   "queue",
		Short: "Look into the embedded log, check it or mend it, while no server runs",
		Args:  noSuchCommand,
		RunE:  func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(
		newQueueInspect(global), newQueueVerify(global), newQueueRepair(global), newQueueForget(global),
	)
	return command
}

// withLog runs a command on the log's directory, with the data directory locked. keys are nil where
// what is sealed can't be opened; one that mends may seal with them.
func withLog(command *cobra.Command, global *globalFlags, mends bool, work func(disk *vfs.Disk, dir string, keys *atrest.Keys) error) error {
	cfg, err := global.load()
	if err != nil {
		return err
	}
	scheme, dir, _ := strings.Cut(cfg.Queue.URL, ":")
	if scheme != "seglog" {
		return pillarbox.Invalid("queue.url is %s: only the embedded log (seglog:) can be looked into offline", cfg.Queue.URL)
	}
	if dir == "" {
		dir = catalog.QueueDir
	}
	e := &engines{config: cfg, logger: quietLogger(), readOnly: true}
	if err := e.openDirectory(); err != nil {
		if errors.Is(err, pillarbox.ErrConflict) { // to name the server would be of no use here
			err = fmt.Errorf("data directory %s is in use by another pillarbox, and this looks into the log only while no server runs; stop it first: %w", cfg.Data, pillarbox.ErrConflict)
		}
		return errors.Join(err, e.close())
	}
	keys, err := openAtRest(command.Context(), cfg, e.data, atrest.Options{ReadOnly: !mends})
	if err != nil {
		// What is sealed can be checked and mended by its checksums.
		fmt.Fprintf(command.ErrOrStderr(), "what is sealed can't be opened, and is looked at from outside only: %v\n", err)
	}
	return errors.Join(work(e.data, dir, keys), e.close())
}

func newQueueInspect(global *globalFlags) *cobra.Command {
	var form console.Form
	command := &cobra.Command{
		Use: "inspect", Short: "List segments, cursors and what is in quarantine; writes nothing",
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			return withLog(command, global, false, func(disk *vfs.Disk, dir string, keys *atrest.Keys) error {
				inspection, err := seglog.Inspect(disk, keys, dir)
				if err != nil {
					return err
				}
				return printInspection(command.OutOrStdout(), form, inspection)
			})
		},
	}
	outputFlag(command, &form)
	return command
}

func printInspection(w io.Writer, form console.Form, inspection *seglog.Inspection) error {
	if form.Kind == console.JSON {
		return console.WriteJSON(w, inspection)
	}
	segments := console.Rows{Head: []string{"segment", "first", "events", "frames", "size", "created"}}
	for _, s := range inspection.Segments {
		created := "unknown"
		if s.Created != 0 {
			created = s.Created.String()
		}
		segments.Add(s.File, s.First, s.Events, s.End, s.Size, created)
	}
	if err := segments.Write(w, form); err != nil || form.Kind == console.CSV {
		return err
	}
	destinations := console.Rows{Head: []string{"destination", "cursor", "stored", "dead", "skipped",
		"damaged", "retrying", "problem"}}
	for _, d := range inspection.Destinations {
		destinations.Add(d.Destination, d.Cursor, d.Stored, d.Dead, d.Skipped, d.Damaged, d.Retrying,
			d.Problem)
	}
	fmt.Fprintln(w)
	if err := destinations.Write(w, form); err != nil {
		return err
	}
	for _, file := range inspection.Quarantine {
		fmt.Fprintln(w, "in quarantine:", file)
	}
	return nil
}

func newQueueVerify(global *globalFlags) *cobra.Command {
	var form console.Form
	command := &cobra.Command{
		Use: "verify", Short: "Read every frame and check every checksum; writes nothing; exit 1 if something is damaged",
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			return withLog(command, global, false, func(disk *vfs.Disk, dir string, keys *atrest.Keys) error {
				result, err := seglog.Verify(command.Context(), disk, keys, dir, nil)
				if err != nil {
					return err
				}
				return printVerification(command.OutOrStdout(), form, result)
			})
		},
	}
	outputFlag(command, &form)
	return command
}

func printVerification(w io.Writer, form console.Form, result *seglog.Verification) error {
	switch form.Kind {
	case console.JSON:
		if err := console.WriteJSON(w, result); err != nil {
			return err
		}
	case console.CSV:
		damage := console.Rows{Head: []string{"file", "offset", "reason"}}
		for _, d := range result.Damage {
			damage.Add(d.File, d.Offset, d.Reason)
		}
		if err := damage.Write(w, form); err != nil {
			return err
		}
	default:
		fmt.Fprintf(w, "%d segments, %d events, %s read; %d events lost\n", result.Segments,
			result.Events, console.Bytes(result.Bytes), result.Lost)
		if result.Sealed > 0 {
			fmt.Fprintf(w, "%d of the events are sealed; their checksums are right, and nothing else was looked at\n", result.Sealed)
		}
		for _, d := range result.Damage {
			fmt.Fprintln(w, "damaged:", console.Printable(d.Error()))
		}
	}
	if len(result.Damage) > 0 {
		return silentError{}
	}
	return nil
}

func newQueueRepair(global *globalFlags) *cobra.Command {
	var form console.Form
	command := &cobra.Command{
		Use:   "repair",
		Short: "Put sound segments in the place of damaged ones; keeps the damaged files, and exports their events",
		Long: `Replace each damaged segment by a sound one with every event that can still be read. The damaged
file is kept in the queue's quarantine directory, beside its readable events as NDJSON. A delivery
state that can't be read is set aside too; everything that is held is then delivered again, which
stores nothing twice. Nothing is deleted.`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			return withLog(command, global, true, func(disk *vfs.Disk, dir string, keys *atrest.Keys) error {
				if err := writeDown(disk, keys, "queue.repair", dir); err != nil {
					return err
				}
				result, err := seglog.Repair(command.Context(), disk, keys, dir)
				if err != nil {
					return err
				}
				return printRepair(command.OutOrStdout(), command.ErrOrStderr(), form, result)
			})
		},
	}
	outputFlag(command, &form)
	return command
}

func printRepair(w, talk io.Writer, form console.Form, result *seglog.Repaired) error {
	if form.Kind == console.JSON {
		return console.WriteJSON(w, result)
	}
	table := console.Rows{Head: []string{"segment", "events", "lost", "damaged file", "export"}}
	for _, s := range result.Segments {
		table.Add(s.File, s.Events, s.Lost, s.Quarantine, s.Export)
	}
	if len(result.Segments) == 0 && form.Kind == console.Table {
		fmt.Fprintln(w, "no segment is damaged")
	} else if err := table.Write(w, form); err != nil {
		return err
	}
	to := w
	if form.Kind == console.CSV {
		to = talk // CSV is rows and nothing else
	}
	for _, name := range result.States {
		fmt.Fprintf(to, "the delivery state of %s was made anew; its events are delivered again\n", name)
	}
	return nil
}

func newQueueForget(global *globalFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "forget DESTINATION",
		Short: "Give up a destination that is not configured any more, so that the queue no longer waits for it",
		Args:  oneArg,
		RunE: func(command *cobra.Command, args []string) error {
			return withLog(command, global, true, func(disk *vfs.Disk, dir string, keys *atrest.Keys) error {
				cfg, err := global.load()
				if err != nil {
					return err
				}
				if _, configured := cfg.Destinations[args[0]]; configured {
					return fmt.Errorf("destination %s is configured; remove it from the configuration first: %w",
						args[0], pillarbox.ErrConflict)
				}
				if err := writeDown(disk, keys, "queue.forget", args[0]); err != nil {
					return err
				}
				if err := seglog.Forget(disk, dir, args[0]); err != nil {
					return err
				}
				_, err = fmt.Fprintf(command.OutOrStdout(),
					"%s is forgotten; its delivery state is in quarantine\n", args[0])
				return err
			})
		},
	}
}
