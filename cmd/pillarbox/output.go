package main

import (
	"io"
	"os"

	"github.com/charmbracelet/colorprofile"
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
		return screen{Writer: console.NewTerminal(file, hasColours(file)), file: file}
	}
	return screen{Writer: file, file: file}
}

// hasColours reports whether a terminal shows colours: not with NO_COLOR, nor with TERM=dumb.
func hasColours(file *os.File) bool {
	return colorprofile.Detect(file, os.Environ()) >= colorprofile.ANSI
}

// Paint writes a text in a style.
func (s screen) Paint(style console.Style, text string) error {
	if terminal, ok := s.Writer.(*console.Terminal); ok {
		return terminal.Paint(style, text)
	}
	_, err := io.WriteString(s.Writer, text)
	return err
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

// canDraw reports whether a command writes to a terminal whose cursor it can move: one that says how
// large it is, and is not the plainest of all.
func canDraw(w io.Writer) bool {
	s, ok := w.(screen)
	if !ok || !s.IsTerminal() || os.Getenv("TERM") == "dumb" {
		return false
	}
	width, height, err := term.GetSize(int(s.file.Fd()))
	return err == nil && width > 0 && height > 0
}

// drawn is the terminal itself, for what moves its cursor on purpose and shows nothing of a client:
// a progress bar, and Terraform.
func drawn(w io.Writer) io.Writer {
	if s, ok := w.(screen); ok {
		return s.file
	}
	return w
}
