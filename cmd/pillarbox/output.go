package main

import (
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"pillarbox/internal/console"
)

// outputFlag adds -o to a command that reads.
func outputFlag(command *cobra.Command, form *console.Form) {
	set := command.Flags()
	set.StringVarP(&form.Kind, "output", "o", console.Table, "table, json or csv")
	set.BoolVar(&form.SpreadsheetSafe, "spreadsheet-safe", false,
		"with -o csv: ' before what a spreadsheet would run as a formula (=1+1, -1)")
}

func checkForm(form console.Form) error {
	if err := form.Check(); err != nil {
		return usageError{err}
	}
	return nil
}

// screen is standard output or standard error of a command. All that commands print goes through
// it: on a terminal, what a client sent is shown in escaped form; into a file or a pipe go the
// bytes themselves.
type screen struct {
	io.Writer
	file *os.File
}

func newScreen(file *os.File) screen {
	if term.IsTerminal(int(file.Fd())) {
		return screen{Writer: console.NewTerminal(file), file: file}
	}
	return screen{Writer: file, file: file}
}

// IsTerminal tells the log how to write.
func (s screen) IsTerminal() bool { return s.Writer != io.Writer(s.file) }

// Close writes what waits. The file stays open.
func (s screen) Close() error {
	if terminal, ok := s.Writer.(*console.Terminal); ok {
		return terminal.Close()
	}
	return nil
}

// terminalOf is the terminal that a command writes to, if it is one.
func terminalOf(w io.Writer) (*console.Terminal, bool) {
	if s, ok := w.(screen); ok {
		w = s.Writer
	}
	terminal, ok := w.(*console.Terminal)
	return terminal, ok
}

// drawn is the terminal itself, for what moves its cursor on purpose and shows nothing of a client:
// a progress bar, and Terraform.
func drawn(w io.Writer) io.Writer {
	if s, ok := w.(screen); ok {
		return s.file
	}
	return w
}
