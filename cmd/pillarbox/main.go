// Command pillarbox is the server and the command line in one binary.
//
// This is the only place that wires packages together, reads flags and environment, and exits.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"pillarbox/internal/config"
)

// The exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(execute(os.Args[1:])) }

// execute runs one command and returns its exit code.
func execute(args []string) int {
	return executeOn(newScreen(os.Stdout), newScreen(os.Stderr), args)
}

// executeOn is execute with its output.
func executeOn(out, talk screen, args []string) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(talk)
	err := errors.Join(root.ExecuteContext(context.Background()), out.Close())
	var silent silentError
	if err != nil && !errors.As(err, &silent) {
		fmt.Fprintln(talk, "pillarbox:", err)
	}
	_ = talk.Close() // there is nobody to tell
	return exitCode(err)
}

// exitCode is that of a command that ended so.
func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage):
		return exitUsage
	}
	return exitFailed
}

// silentError fails the command without another word: what is wrong was printed as its result.
type silentError struct{}

func (silentError) Error() string { return "failed" }

// globalFlags are the flags that every command has.
type globalFlags struct {
	configPath string
	data       string
	listen     string
	admin      string
	server     string
	token      string
	caFile     string

	changed func(name string) bool
}

func newRootCommand() *cobra.Command {
	global := &globalFlags{}
	root := &cobra.Command{
		Use:   "pillarbox",
		Short: "A durable front door for HTTP",
		Long: `pillarbox accepts HTTP requests, makes them durable, answers, and delivers them in batches to a
database, once, whatever breaks in between. What can't be delivered becomes a dead letter that can be
read and replayed.`,
		SilenceUsage: true, SilenceErrors: true,
		Args:    noSuchCommand,
		Version: versionLine(),
		RunE:    func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	flags := root.PersistentFlags()
	flags.StringVarP(&global.configPath, "config", "c", "", "configuration file (YAML)")
	flags.StringVar(&global.data, "data", "", "data directory (default ./pillarbox-data)")
	flags.StringVar(&global.listen, "listen", "", "public addresses, as host:port or unix:/path, with commas between them (default :8080)")
	flags.StringVar(&global.admin, "admin", "",
		"admin address, or a socket as unix:/path (default 127.0.0.1:8081)")
	flags.StringVar(&global.server, "server", "",
		"admin API of a running server, as http://host:port, https://host:port or unix:/path (default PILLARBOX_SERVER, else the admin address)")
	flags.StringVar(&global.token, "token", "",
		"token of the admin API, asked for by serve and sent by the others (better: PILLARBOX_ADMIN_TOKEN)")
	flags.StringVar(&global.caFile, "ca-file", "",
		"authorities that a server with https is trusted by (default those of the system, and the certificates of the configuration)")
	global.changed = func(name string) bool { return flags.Changed(name) }
	root.SetFlagErrorFunc(wrongFlag)
	root.SetVersionTemplate("{{.Version}}\n")
	addCommands(root, global)
	tightenDefaults(root)
	return root
}

// tightenDefaults makes the commands that cobra adds refuse what they don't know, as the others do.
// They would show help instead and exit with 0.
func tightenDefaults(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, command := range root.Commands() {
		switch command.Name() {
		case "help":
			command.Run, command.RunE = nil, help
		case "completion":
			command.Args = noSuchCommand
			command.RunE = func(command *cobra.Command, _ []string) error { return command.Help() }
			for _, shell := range command.Commands() {
				shell.Args = noArgs
			}
		}
	}
}

// help shows the help of the command that the arguments name.
func help(command *cobra.Command, args []string) error {
	about, rest, err := command.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return noCommand(about, strings.Join(rest, " "))
	}
	about.InitDefaultHelpFlag()
	return about.Help()
}

// load reads the configuration: flag over environment over file over default.
func (g *globalFlags) load() (*config.Config, error) {
	flags := map[string]string{}
	for flag, value := range map[string]struct{ key, text string }{
		"data": {"data", g.data}, "listen": {"listen", g.listen}, "admin": {"admin.listen", g.admin},
		"token": {"admin.token", g.token},
	} {
		if g.changed(flag) {
			flags[value.key] = value.text
		}
	}
	cfg, err := config.Load(config.Input{Path: g.configPath, Flags: flags})
	if err != nil {
		return nil, usageError{err}
	}
	return cfg, nil
}

// version is the version that the binary was built as.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" || info.Main.Version == "(devel)" {
		return "development"
	}
	return info.Main.Version
}

// versionLine is what "pillarbox version" and --version print.
func versionLine() string {
	return fmt.Sprintf("pillarbox %s (%s, %s/%s)", version(), runtime.Version(), runtime.GOOS,
		runtime.GOARCH)
}
