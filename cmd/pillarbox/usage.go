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

// oneArg wants one argument. What it is comes from the line of usage.
func oneArg(command *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usageError{fmt.Errorf("%s takes one argument, and got %d; usage: %s",
			command.CommandPath(), len(args), command.UseLine())}
	}
	return nil
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
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		return usageError{wrongValue(value)}
	}
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

// wrongValue says what kind of value the flag wants, and not which function of Go refused it.
func wrongValue(err *pflag.InvalidValueError) error {
	want := map[string]string{"int": "a whole number", "intSlice": "whole numbers, as in 1,8,64",
		"uint64": "a whole number, 0 or more", "float64": "a number", "bool": "true or false",
		"duration": "a duration such as 10s or 1m30s"}[err.GetFlag().Value.Type()]
	if want == "" {
		return err
	}
	return fmt.Errorf("--%s %q: want %s", err.GetFlag().Name, err.GetValue(), want)
}

// meant asks for the nearest of the known names, if one is near.
func meant(name string, known []string) string {
	if nearest := config.Nearest(name, known); nearest != "" {
		return "; is " + nearest + " meant?"
	}
	return ""
}
