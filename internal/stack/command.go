package stack

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Command is a program to run, with its output going to who watches.
type Command struct {
	Dir    string
	Name   string
	Args   []string
	Env    []string  // beside that of this process
	Output io.Writer // of the program; nil: where it is shown
}

// String is the command as it can be typed into a shell.
func (c Command) String() string {
	var words []string
	words = append(words, c.Env...)
	for _, word := range append([]string{c.Name}, c.Args...) {
		words = append(words, quote(word))
	}
	return strings.Join(words, " ")
}

// quote puts a word into quotes where a shell needs them.
func quote(word string) string {
	plain := func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=,:@%+", r)
	}
	if word != "" && !strings.ContainsFunc(word, plain) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// Run shows the command and runs it. Ending ctx interrupts the program and waits for it: Terraform
// writes its state then.
func (c Command) Run(ctx context.Context, talk io.Writer) error {
	where := ""
	if c.Dir != "" {
		where = "(cd " + quote(c.Dir) + ") "
	}
	if _, err := fmt.Fprintf(talk, "$ %s%s\n", where, c); err != nil {
		return err
	}
	program := exec.CommandContext(ctx, c.Name, c.Args...)
	program.Dir, program.Env = c.Dir, append(os.Environ(), c.Env...)
	program.Stdin, program.Stdout, program.Stderr = nil, talk, talk
	if c.Output != nil {
		program.Stdout = c.Output
	}
	program.Cancel = func() error { return program.Process.Signal(os.Interrupt) }
	if err := program.Run(); err != nil {
		return fmt.Errorf("%s: %w", c.Name, err)
	}
	return nil
}
