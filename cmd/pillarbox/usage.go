package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pillarbox/internal/config"
)

// usageError is a mistake of the caller: exit code 2.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exactArgs is cobra.ExactArgs with the exit code of wrong usage.
func exactArgs(n int) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(n)(command, args); err != nil {
			return usageError{fmt.Errorf("%w; usage: %s", err, command.UseLine())}
		}
		return nil
	}
}

// noArgs is cobra.NoArgs with the exit code of wrong usage.
func noArgs(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%s takes no arguments, and got %q", command.CommandPath(), args[0])}
	}
	return nil
}

// noSuchCommand is for commands that only have subcommands.
func noSuchCommand(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return noCommand(command, args[0])
	}
	return nil
}

// noCommand says that the command has no such subcommand, and which one may be meant.
func noCommand(command *cobra.Command, name string) error {
	var known []string
	for _, sub := range command.Commands() {
		if sub.IsAvailableCommand() {
			known = append(known, sub.Name())
		}
	}
	return usageError{fmt.Errorf("there is no command %q%s; \"%s --help\" lists them",
		command.CommandPath()+" "+name, meant(name, known), command.CommandPath())}
}

// wrongFlag is told what is wrong with a flag, and says which one may be meant.
func wrongFlag(command *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) || len(unknown.GetSpecifiedName()) < 2 {
		return usageError{err}
	}
	var known []string
	command.Flags().VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			known = append(known, "--"+flag.Name)
		}
	})
	return usageError{fmt.Errorf("%w%s; \"%s --help\" lists them", err,
		meant("--"+unknown.GetSpecifiedName(), known), command.CommandPath())}
}

// meant asks for the nearest of the known names, if one is near.
func meant(name string, known []string) string {
	if nearest := config.Nearest(name, known); nearest != "" {
		return "; is " + nearest + " meant?"
	}
	return ""
}
