package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"pillarbox"
	"pillarbox/internal/adminclient"
	"pillarbox/internal/atrest"
	"pillarbox/internal/console"
	"pillarbox/internal/trail"
	"pillarbox/internal/vfs"
)

// showTrail prints entries, and fails where the trail does not prove itself.
func showTrail(command *cobra.Command, global *globalFlags, flags *auditFlags) error {
	if flags.limit < 1 {
		return usageError{errors.New("--limit: want 1 or more")}
	}
	return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
		page, err := wholeTrail(ctx, client, flags.after, flags.limit)
		if err != nil {
			return asUsageError(err)
		}
		if err := console.WriteTrail(command.OutOrStdout(), command.ErrOrStderr(), page, flags.form); err != nil {
			return err
		}
		if page.Whole() != nil {
			return silentError{}
		}
		return nil
	})
}

// wholeTrail reads as many pages as it takes. Each of them verifies all of the trail.
func wholeTrail(ctx context.Context, client *adminclient.Client, after uint64, limit int) (*trail.Page, error) {
	all := &trail.Page{Entries: []trail.Entry{}}
	for {
		page, err := client.Trail(ctx, after, min(limit-len(all.Entries), pillarbox.MaxListLimit))
		if err != nil {
			return nil, err
		}
		all.Entries = append(all.Entries, page.Entries...)
		all.Head, all.Problems = page.Head, page.Problems
		if len(page.Entries) == 0 || len(all.Entries) >= limit {
			return all, nil
		}
		after = page.Entries[len(page.Entries)-1].Seq
	}
}

// writeDown makes an entry about what a command is about to do to a data directory at rest.
func writeDown(disk vfs.FS, keys *atrest.Keys, action, object string) (err error) {
	opened, err := trail.Open(disk, trail.Options{Logger: quietLogger(), AtRest: keys})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	_, err = opened.Append(trail.Act{Actor: thisUser(), Action: action, Object: object})
	return err
}

func eraseTrail(command *cobra.Command, global *globalFlags, seq uint64) error {
	return withClient(command, global, func(ctx context.Context, client *adminclient.Client) error {
		if err := client.EraseTrail(ctx, seq); err != nil {
			return asUsageError(err)
		}
		_, err := fmt.Fprintf(command.ErrOrStderr(), "entry %d can't be read any more\n", seq)
		return err
	})
}
