package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// This test is in the package itself because a command can't be imported.

var update = flag.Bool("update", false, "rewrite the generated documents")

const reference = "../../docs/CLI.md"

// TestReferenceIsCurrent holds docs/CLI.md to the commands and flags that exist.
func TestReferenceIsCurrent(t *testing.T) {
	var want bytes.Buffer
	root := newRootCommand()
	root.InitDefaultCompletionCmd()
	want.WriteString("# Command line\n\nGenerated from the commands themselves by `make docs`. Exit codes: 0 done, 1 failed, 2 wrong usage.\n" +
		"JSON goes to standard output alone; talk goes to standard error.\n")
	describe(&want, root)
	if *update {
		if err := os.WriteFile(reference, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want.Bytes()) {
		t.Errorf("%s is stale; run make docs", reference)
	}
}

func describe(out *bytes.Buffer, command *cobra.Command) {
	if command.Hidden || command.Name() == "help" {
		return
	}
	fmt.Fprintf(out, "\n## %s\n\n%s.\n\n", command.CommandPath(),
		strings.TrimSuffix(command.Short, "."))
	if command.Long != "" && !strings.HasPrefix(command.CommandPath(), "pillarbox completion ") {
		fmt.Fprintf(out, "%s\n\n", command.Long)
	}
	if command.Runnable() && command.HasParent() {
		fmt.Fprintf(out, "```\n%s\n```\n", command.UseLine())
	}
	if command.Example != "" {
		fmt.Fprintf(out, "\n```\n%s\n```\n", command.Example)
	}
	flags := command.NonInheritedFlags()
	if flags.HasAvailableFlags() {
		out.WriteString("\n| flag | default | what |\n|---|---|---|\n")
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Hidden || f.Name == "help" {
				return
			}
			name := "`--" + f.Name + "`"
			if f.Shorthand != "" {
				name = "`-" + f.Shorthand + "`, " + name
			}
			fmt.Fprintf(out, "| %s | `%s` | %s |\n", name, f.DefValue, strings.ReplaceAll(f.Usage, "|", "\\|"))
		})
	}
	for _, child := range command.Commands() {
		describe(out, child)
	}
}

// TestEveryCommandRefusesWhatItDoesNotKnow calls each command with a flag that does not exist: exit
// code 2.
func TestEveryCommandRefusesWhatItDoesNotKnow(t *testing.T) {
	commands := 0
	var visit func(command *cobra.Command)
	visit = func(command *cobra.Command) {
		commands++
		args := append(strings.Fields(command.CommandPath())[1:], "--no-such-flag")
		if code := execute(args); code != exitUsage {
			t.Errorf("pillarbox %s exits with %d, want %d", strings.Join(args, " "), code, exitUsage)
		}
		for _, child := range command.Commands() {
			visit(child)
		}
	}
	visit(newRootCommand())
	if commands < 20 {
		t.Errorf("only %d commands were called", commands)
	}
}
