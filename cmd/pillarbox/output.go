package main

import (
	"github.com/spf13/cobra"

	"pillarbox/internal/console"
)

// outputFlag adds -o to a command that reads.
func outputFlag(command *cobra.Command, form *string) {
	command.Flags().StringVarP(form, "output", "o", console.Table, "table, json or csv")
}

func checkForm(form string) error {
	if err := console.CheckForm(form); err != nil {
		return usageError{err}
	}
	return nil
}
