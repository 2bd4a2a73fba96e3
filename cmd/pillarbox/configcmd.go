package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pillarbox"
	"pillarbox/internal/apikey"
	"pillarbox/internal/config"
	"pillarbox/internal/console"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/filter"
	"pillarbox/internal/jwt"
	"pillarbox/internal/source"
	"pillarbox/internal/sourceconfig"
)

func newConfigCommand(global *globalFlags) *cobra.Command {
	command := &cobra.Command{
		Use: "config", Short: "Check, show or write a configuration", Args: noSuchCommand,
		RunE: func(command *cobra.Command, _ []string) error { return command.Help() },
	}
	command.AddCommand(
		newConfigCheck(global),
		&cobra.Command{
			Use: "show", Short: "Show the configuration in force and where each value comes from; secrets are hidden", Args: noArgs,
			RunE: func(command *cobra.Command, _ []string) error {
				cfg, err := global.load()
				if err != nil {
					return err
				}
				_, err = io.WriteString(command.OutOrStdout(), config.Show(cfg))
				return err
			},
		},
		newConfigExample(),
	)
	return command
}

func newConfigCheck(global *globalFlags) *cobra.Command {
	var onAWS bool
	command := &cobra.Command{
		Use: "check", Short: "Say whether the configuration is right; exit 2 with file, line and column if not",
		Long: `Check the configuration: its form, the engines that it names, and what waits in the data directory. Events that are
pending and that no destination would take any more are counted by source and destination, and are a reason to refuse.
With --aws the file is one of sources for the function of a stack, as "deploy --sources" takes it, and what can have no effect there
is refused. Exit 2 if something is not right.`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if onAWS {
				return checkForAWS(command, global)
			}
			cfg, err := global.load()
			if err != nil {
				return err
			}
			if err := errors.Join(checkEngines(cfg), checkCertificates(cfg), checkReceivers(cfg), unknownVariables(cfg)); err != nil {
				return usageError{err}
			}
			if err := checkStored(command.Context(), global, cfg, command.ErrOrStderr()); err != nil {
				return usageError{err}
			}
			right := "the configuration is right"
			if global.configPath == "" { // a file in this directory is not looked for
				right += "; it has no file, since none is named with --config"
			}
			_, err = fmt.Fprintln(command.OutOrStdout(), right)
			return err
		},
	}
	command.Flags().BoolVar(&onAWS, "aws", false, "the file has the sources of a stack on AWS")
	return command
}

// checkForAWS checks the file of sources of a stack.
func checkForAWS(command *cobra.Command, global *globalFlags) error {
	if global.configPath == "" {
		return usageError{errors.New("--aws: name the file of sources with --config")}
	}
	text, err := os.ReadFile(global.configPath)
	if err == nil {
		err = checkFunction(global.configPath, text)
	}
	if err != nil {
		return usageError{err}
	}
	_, err = fmt.Fprintln(command.OutOrStdout(), "the file of sources is right for a stack on AWS")
	return err
}

// checkFunction reports why a file of sources is none for the function on AWS.
func checkFunction(path string, text []byte) error {
	cfg, _, err := sourceconfig.LoadFunction(path, text, os.LookupEnv)
	if err != nil {
		return err
	}
	_, err = source.Compile(sourceconfig.Settings(cfg, new(apikey.Ring), jwt.New(jwt.Options{})), source.Options{})
	return placed(cfg, err)
}

func newConfigExample() *cobra.Command {
	var onAWS bool
	var name string
	command := &cobra.Command{
		Use: "example", Short: "Write a commented file with every key and its default, or with --aws one for a stack on AWS", Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			text := config.Example()
			if onAWS || name != "" {
				text = config.ExampleAWS()
				outputs, err := deployed(name)
				if err != nil && name != "" {
					return usageError{err}
				}
				if err == nil {
					text = config.ForStack(outputs.Name, outputs.ServeConfig)
				}
			}
			_, err := io.WriteString(command.OutOrStdout(), text)
			return err
		},
	}
	command.Flags().BoolVar(&onAWS, "aws", false,
		"for the stack on AWS that was deployed, or one to fill in")
	command.Flags().StringVar(&name, "stack", "", "which stack, where several were deployed")
	return command
}

// unknownVariables refuses variables that set nothing. A server only warns of them: they may be
// those of its surroundings, and it has to start.
func unknownVariables(cfg *config.Config) error {
	var errs []error
	for _, unknown := range cfg.UnknownVariables() {
		errs = append(errs, errors.New(unknown))
	}
	return errors.Join(errs...)
}

// checkEngines reports URLs that name no engine, or one that can't do what is asked of it. It is
// the same for the check, the start and the reload.
func checkEngines(cfg *config.Config) error {
	return errors.Join(placed(cfg, checkQueue(cfg)), placed(cfg, checkEncryption(cfg)), placed(cfg, catalog.CheckSinks(sinkURLs(cfg))), checkWaysOut(cfg),
		placed(cfg, catalog.CheckDestinations(cfg.Queue.URL,
			slices.Collect(maps.Keys(cfg.Destinations)))),
		placed(cfg, catalog.CheckDeadLetters(cfg.DeadLetters.URL)),
		placed(cfg, catalog.CheckBodies(cfg.Bodies.URL)), checkMaxBodies(cfg), checkAPIKeys(cfg),
		placed(cfg, checkSources(cfg)), checkFilters(cfg), checkAlerts(cfg))
}

// checkFilters reports filters that are no expressions, what a queue has no history for, and stores that
// canaries would stay in.
func checkFilters(cfg *config.Config) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(cfg.Destinations)) {
		if from := cfg.Destinations[name].From; from != config.FromNow && !catalog.KeepsHistory(cfg.Queue.URL) {
			errs = append(errs, placed(cfg, pillarbox.Invalid("destinations.%s.from: has no effect: the queue %s keeps nothing of what is delivered; leave the key out", name, cfg.Queue.URL)))
		}
		errs = append(errs, placed(cfg, checkCanary(cfg, name)))
		if where := cfg.Destinations[name].Where; where != "" {
			if _, err := filter.Compile(where); err != nil {
				errs = append(errs, placed(cfg, fmt.Errorf("destinations.%s.where: %w", name, err)))
			}
		}
	}
	return errors.Join(errs...)
}

// checkCanary reports a destination in which canaries would stay among users' events, and one to which
// every one of them would come too late.
func checkCanary(cfg *config.Config, name string) error {
	to := cfg.Destinations[name]
	if to.Canary == config.CanaryOn {
		if err := catalog.CheckCanary(name, to.URL); err != nil {
			return err
		}
	}
	sent := to.Canary == config.CanaryOn || to.Canary == config.CanaryAuto && catalog.ReturnsCanaries(to.URL)
	if cfg.Canary.Enabled && sent && to.Batch.MaxAge >= cfg.Canary.Timeout {
		return pillarbox.Invalid("destinations.%s.batch.max_age: is %v, and the canary, which waits for its batch as any event does, would be late after canary.timeout, which is %v; change one of them, or set canary: false there",
			name, to.Batch.MaxAge, cfg.Canary.Timeout)
	}
	return nil
}

// checkWaysOut reports settings of webhooks and brokers that can't work, of each the first.
func checkWaysOut(cfg *config.Config) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(cfg.Destinations)) {
		if d := cfg.Destinations[name]; d.IsWebhook() || d.IsBroker() {
			errs = append(errs, placed(cfg, catalog.CheckDestination(name, engineOf(&d))))
		}
	}
	return errors.Join(errs...)
}

// checkAPIKeys reports a place of shared keys that is none.
func checkAPIKeys(cfg *config.Config) error {
	return placed(cfg, catalog.CheckAPIKeys(cfg.APIKeys.URL))
}

// checkSources reports a source whose rules can't be compiled.
func checkSources(cfg *config.Config) error {
	_, err := source.Compile(settingsOf(cfg, new(apikey.Ring), jwt.New(jwt.Options{})).Sources, source.Options{})
	return err
}

// checkMaxBodies reports sources that accept larger bodies than what is behind them takes. Where
// the queue is too small, such bodies could never be accepted; where a destination is, each would
// be a dead letter. Dead letters of any size have room. The default asks for nothing.
func checkMaxBodies(cfg *config.Config) error {
	if cfg.Bodies.URL != "" {
		return nil
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(cfg.Sources)) {
		key, accepted := "sources."+name+".max_body", cfg.Sources[name].MaxBody
		taken, by := smallest(cfg, name)
		if cfg.IsSet(key) && taken > 0 && accepted > taken {
			errs = append(errs, placed(cfg, pillarbox.Invalid("%s: is %v, and %s takes %v at most; set it to that or less, or set bodies.url to a place for larger bodies",
				key, accepted, by, taken)))
		}
	}
	return errors.Join(errs...)
}

// smallest returns the least that the queue and the destinations of a source take of a body without
// a place for large ones, and which of them that is; 0 where none has a limit.
func smallest(cfg *config.Config, source string) (least config.ByteSize, by string) {
	if n := catalog.MaxBody(cfg.Queue.URL); n > 0 {
		least, by = config.ByteSize(n), "the queue (queue.url)"
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Destinations)) {
		destination := cfg.Destinations[name]
		n := config.ByteSize(catalog.MaxBody(destination.URL))
		if n > 0 && (least == 0 || n < least) && slices.Contains(destination.Sources, source) {
			least, by = n, "destination "+name
		}
	}
	return least, by
}

// placed puts the place where a key was set, or what it is part of, before an error that begins with
// the key.
func placed(cfg *config.Config, err error) error {
	if err == nil {
		return nil
	}
	key, _, _ := strings.Cut(err.Error(), ":")
	for ; key != ""; key = key[:max(0, strings.LastIndexAny(key, ".["))] {
		if where := cfg.Where(key); where != "" {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
	return err
}

// checkQueue reports whether the queue's engine exists and can do what is asked of it. The default
// history asks for nothing.
func checkQueue(cfg *config.Config) error {
	if err := catalog.CheckQueue(cfg.Queue.URL); err != nil {
		return err
	}
	if err := catalog.CheckKeyStore(cfg.Queue.URL, cfg.Idempotency.URL); err != nil {
		return err
	}
	if cfg.Idempotency.URL != "" && cfg.IsSet("idempotency.max_keys") {
		return pillarbox.Invalid("idempotency.max_keys: has no effect: a table remembers all keys of the window; leave the key out")
	}
	for _, key := range keysAboutKeys(cfg) {
		if err := catalog.CheckKeys(cfg.Queue.URL, cfg.Idempotency.URL, key); cfg.IsSet(key) && err != nil {
			return err
		}
	}
	if !cfg.IsSet("queue.keep_bytes") {
		return nil
	}
	return catalog.CheckHistory(cfg.Queue.URL, int64(cfg.Queue.KeepBytes))
}

// keysAboutKeys are the keys of the configuration about idempotency keys.
func keysAboutKeys(cfg *config.Config) []string {
	keys := []string{"idempotency.window", "idempotency.max_keys"}
	for _, name := range slices.Sorted(maps.Keys(cfg.Sources)) {
		keys = append(keys, "sources."+name+".idempotency.key", "sources."+name+".idempotency.content")
	}
	return keys
}

func newVersionCommand() *cobra.Command {
	var form console.Form
	command := &cobra.Command{
		Use: "version", Short: "Show the version", Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error {
			if err := checkForm(form); err != nil {
				return err
			}
			w := command.OutOrStdout()
			if form.Kind == console.JSON {
				return console.WriteJSON(w, map[string]string{"version": version(), "go": runtime.Version(),
					"platform": runtime.GOOS + "/" + runtime.GOARCH})
			}
			if form.Kind == console.CSV {
				table := console.Rows{Head: []string{"version", "go", "platform"}}
				table.Add(version(), runtime.Version(), runtime.GOOS+"/"+runtime.GOARCH)
				return table.Write(w, form)
			}
			_, err := fmt.Fprintln(w, versionLine())
			return err
		},
	}
	outputFlag(command, &form)
	return command
}
