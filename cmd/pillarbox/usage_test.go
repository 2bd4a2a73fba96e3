package main

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/config"
)

// TestWrongUsageExitsWith2 before a server or a directory is looked for.
func TestWrongUsageExitsWith2(t *testing.T) {
	dir := t.TempDir()
	for _, line := range []string{
		"events --limit 100001", "events --limit 0", "events --limit -1", "events --since foo", "events --until foo", "events --cursor bad",
		"events --since 1h --until 2h", "events --follow --since foo", "dead list --limit 0", "dead list --limit 100001", "dead list --since foo",
		"dead list --cursor bad", "dead replay --all --rate -1", "dead replay --all --rate NaN", "dead replay --all --limit -1",
		"dead replay --all --since foo", "dead replay", "serve --roles=", "serve --roles nobody", "bench --dir /nope", "torture --dir /nope",
		"post http://127.0.0.1:1/app --file /nope", "post --rate NaN -n 2",
		"help nope", "help dead nope", "completion foo", "completion bash foo", "completion --foo", "nope", "dead nope",
	} {
		if got := try(t, append(strings.Fields(line), "--data", dir)...); got.code != exitUsage ||
			got.err == nil {
			t.Errorf("%s: exit %d, %v", line, got.code, got.err)
		}
	}
	for _, line := range []string{"help", "help dead replay", "completion", "completion --help",
		"dead", "help completion bash", "help help"} {
		if got := try(t, strings.Fields(line)...); got.code != exitDone ||
			!strings.Contains(got.out, "Usage:") {
			t.Errorf("%s: exit %d, %v\n%s", line, got.code, got.err, got.out)
		}
	}
}

// TestWrongUsageNamesWhatMayBeMeant, and nothing where nothing is near.
func TestWrongUsageNamesWhatMayBeMeant(t *testing.T) {
	for line, want := range map[string]string{
		"evnts":                   "is events meant?",
		"help evnts":              "is events meant?",
		"dead lst":                "is list meant?",
		"sevre":                   "is serve meant?",
		"dead lsit":               "is list meant?",
		"events --lmit 3":         "is --limit meant?",
		"serve --dat x":           "is --data meant?",
		"zzz":                     `there is no command "pillarbox zzz"; "pillarbox --help"`,
		"events --zzzzzz 3":       `unknown flag: --zzzzzz; "pillarbox events --help"`,
		"events -x":               "unknown shorthand flag",
		"explain":                 "pillarbox explain takes one argument, and got 0; usage: pillarbox explain REQUEST_ID",
		"dead show a b":           "takes one argument, and got 2",
		"events --limit x":        `--limit "x": want a whole number`,
		"post --rate x":           `--rate "x": want a number`,
		"bench --rounds 1x":       `--rounds "1x": want a whole number`,
		"bench --duration 5":      `--duration "5": want a duration such as 10s or 1m30s`,
		"bench --connections 1,x": `--connections "1,x": want whole numbers, as in 1,8,64`,
		"torture --seed -1":       `--seed "-1": want a whole number, 0 or more`,
		"deploy --yes=x":          `--yes "x": want true or false`,
	} {
		try(t, strings.Fields(line)...).failsWith(t, exitUsage, want)
	}
}

// TestVersionIsAFlagToo, because people try that first.
func TestVersionIsAFlagToo(t *testing.T) {
	want := try(t, "version")
	for _, flag := range []string{"--version", "-v"} {
		if got := try(t, flag); got.err != nil || got.out != want.out || got.out == "" {
			t.Errorf("%s prints %q, %v; version prints %q", flag, got.out, got.err, want.out)
		}
	}
}

// TestVersionHasEveryForm.
func TestVersionHasEveryForm(t *testing.T) {
	if got := try(t, "version", "-o", "csv"); !strings.HasPrefix(got.out, "version,go,platform\n"+version()+",go") {
		t.Errorf("as CSV it is\n%s", got.out)
	}
}

// TestConfigCheckSaysThatItReadNoFile where none is named: it looks for none in the directory.
func TestConfigCheckSaysThatItReadNoFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pillarbox.yaml")
	if err := os.WriteFile(file, []byte("data: "+t.TempDir()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"the configuration is right; it has no file, since none is named with --config\n": {"--data", t.TempDir()},
		"the configuration is right\n": {"--config", file},
	} {
		if got := try(t, append([]string{"config", "check"}, args...)...); got.out != want {
			t.Errorf("%v: %q, %v, want %q", args, got.out, got.err, want)
		}
	}
}

// TestEngineThatIsNoneIsReportedWithItsPlace, each of them, and before a directory is made.
func TestEngineThatIsNoneIsReportedWithItsPlace(t *testing.T) {
	dir := t.TempDir()
	file, data := filepath.Join(dir, "c.yaml"), filepath.Join(dir, "data")
	text := "data: " + data + "\nqueue: { url: \"kafka:\" }\ndestinations:\n" +
		"  events: { url: \"mysql://x\", sources: [app] }\ndead_letters: { url: \"ftp:x\" }\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"config check", "serve", "status"} {
		got := try(t, append(strings.Fields(command), "--config", file)...)
		for _, want := range []string{file + ":2:15: queue.url: \"kafka:\"",
			file + ":4:18: destinations.events.url: \"mysql://x\"", file + ":5:22: dead_letters.url"} {
			if got.err == nil || got.code != exitUsage || !strings.Contains(got.err.Error(), want) {
				t.Errorf("%s: exit %d, no %q in %v", command, got.code, want, got.err)
			}
		}
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("the data directory is there: %v", err)
	}
	t.Setenv("PILLARBOX_QUEUE_URL", "kafka:")
	try(t, "config", "check").failsWith(t, exitUsage, "PILLARBOX_QUEUE_URL: queue.url: ")
}

// TestWhatTheServerCantReadIsWrongUsage, whoever runs it.
func TestWhatTheServerCantReadIsWrongUsage(t *testing.T) {
	s := startServer(t, "")
	try(t, "dead", "replay", "--all", "--through-queue", "--server", s.admin).failsWith(t, exitUsage,
		"through the queue")
	try(t, "explain", "nobody", "--server", s.admin).failsWith(t, exitFailed, "not found")
}

// TestConfigCheckRefusesVariablesThatSetNothing with the one that may be meant.
func TestConfigCheckRefusesVariablesThatSetNothing(t *testing.T) {
	if got := try(t, "config", "check"); got.err != nil {
		t.Fatal(got.err)
	}
	t.Setenv("PILLARBOX_LISTN", ":9090")
	try(t, "config", "check").failsWith(t, exitUsage, "PILLARBOX_LISTN", "is PILLARBOX_LISTEN meant?")
	cfg, err := config.Load(config.Input{})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	if warnOfUnknownVariables(cfg, slog.New(slog.NewTextHandler(&log, nil))); !strings.Contains(
		log.String(), "level=WARN") || !strings.Contains(log.String(), "is PILLARBOX_LISTEN meant?") {
		t.Errorf("a server logs %q", &log)
	}
}

// TestHistoryNeedsAQueueThatHasOne: what a queue on AWS can't do is said by the check and by the
// start, and not passed over. The default asks for nothing, as 0 does.
func TestHistoryNeedsAQueueThatHasOne(t *testing.T) {
	const queue = "sqs://sqs.eu-west-2.amazonaws.com/123456789012/pillarbox-events"
	t.Setenv("PILLARBOX_QUEUE_URL", queue)
	t.Setenv("PILLARBOX_DATA", t.TempDir())
	t.Setenv("PILLARBOX_QUEUE_KEEP_BYTES", "1MiB")
	try(t, "config", "check").failsWith(t, exitUsage,
		"queue.keep_bytes: a queue of sqs: keeps nothing of what was delivered")
	if got := try(t, "serve", "--listen", "127.0.0.1:0"); got.code == exitDone {
		t.Error("a server that keeps nothing has started, and it was told to")
	}
	t.Setenv("PILLARBOX_QUEUE_KEEP_BYTES", "0")
	cfg, err := config.Load(config.Input{})
	if err != nil {
		t.Fatal(err)
	}
	if err := checkQueue(cfg); err != nil {
		t.Error(err)
	}
	if err := checkQueue(config.Default()); err != nil {
		t.Error(err)
	}
}

// TestAnAddressIsChosenByAFlagOrAKey: an error names both.
func TestAnAddressIsChosenByAFlagOrAKey(t *testing.T) {
	for key, want := range map[string]string{
		"listen":       "--listen or listen in the configuration",
		"admin.listen": "--admin or admin.listen in the configuration",
	} {
		if got := setBy(key); got != want {
			t.Errorf("%s is set by %q", key, got)
		}
	}
}

// TestQueueCommandsWantNoServer, and don't advise to ask one.
func TestQueueCommandsWantNoServer(t *testing.T) {
	s := startServer(t, "")
	for _, command := range []string{"inspect", "verify", "repair"} {
		got := try(t, "queue", command, "--data", s.data)
		got.failsWith(t, exitFailed, s.data, "while no server runs; stop it first")
		if strings.Contains(got.err.Error(), "--server") {
			t.Errorf("%s: it advises to ask the server: %v", command, got.err)
		}
	}
	if got := try(t, "status", "--server", s.admin); !strings.Contains(got.out, " in use of ") {
		t.Errorf("the status is\n%s", got.out)
	}
}

// TestEnginesThatCantDoWhatIsAsked are refused by the check, the start and the reload in the same
// words, with the place of the key: a queue that feeds one destination, and bodies that do not fit.
func TestEnginesThatCantDoWhatIsAsked(t *testing.T) {
	const (
		queue  = "queue: { url: 'sqs://sqs.eu-west-2.amazonaws.com/1/events' }\n"
		table  = "destinations: { events: { url: 'dynamodb://eu-west-2/events', sources: [app] } }\n"
		bodies = "bodies: { url: 's3://bucket/bodies' }\n"
		two    = "destinations:\n  a: { url: 'sqlite:', sources: [app] }\n  b: { url: 'sqlite:', sources: [app] }\n"
	)
	app := func(size string) string { return "sources: { app: { path: /app, max_body: " + size + " } }\n" }
	for name, test := range map[string]struct {
		text string
		want string // empty: it is right
	}{
		"two destinations of the log": {two, ""},
		"two destinations of SQS": {queue + two,
			":4:13: destinations.b.url: a queue of sqs: feeds one destination, which is a, and not b as well; leave one, or set queue.url to seglog:"},
		"SQS takes 1 MiB": {queue + app("1MiB"), ""},
		"SQS takes no more": {queue + app("1048577"),
			":2:41: sources.app.max_body: is 1048577, and the queue (queue.url) takes 1MiB at most; set it to that or less, or set bodies.url"},
		"SQS with a place for bodies": {queue + app("16MiB") + bodies, ""},
		"DynamoDB takes 400 KiB":      {table + app("400KiB"), ""},
		"DynamoDB takes no more": {table + app("401KiB"),
			":2:41: sources.app.max_body: is 401KiB, and destination events takes 400KiB at most"},
		"DynamoDB and the default":         {table, ""},
		"both":                             {queue + table + app("16MiB"), "destination events takes 400KiB at most"},
		"DynamoDB with a place for bodies": {table + app("16MiB") + bodies, ""},
		"a destination of another source": {"sources:\n  small: { path: /small, max_body: 64KiB }\n  large: { path: /large, max_body: 16MiB }\n" +
			"destinations:\n  t: { url: 'dynamodb://eu-west-2/events', sources: [small] }\n  l: { url: 'sqlite:', sources: [large] }\n", ""},
		"the embedded engines": {app("16MiB"), ""},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "c.yaml")
		if err := os.WriteFile(file, []byte(test.text+"data: "+dir+"/data\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		got := try(t, "config", "check", "--config", file)
		if test.want == "" {
			if got.err != nil {
				t.Errorf("%s: %v", name, got.err)
			}
			continue
		}
		cfg, err := config.Load(config.Input{Path: file})
		if err != nil || got.err == nil { // a server would run
			t.Errorf("%s: %v, and the check passes it: %v", name, err, got.err == nil)
			continue
		}
		refused := map[string]error{"config check": got.err,
			"serve":  try(t, "serve", "--config", file).err,
			"reload": (&server{}).apply(t.Context(), cfg)}
		for by, err := range refused {
			if !errors.Is(err, pillarbox.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%s: %s says %v, want %q", name, by, err, test.want)
			}
		}
		if _, err := os.Stat(filepath.Join(dir, "data")); !os.IsNotExist(err) {
			t.Errorf("%s: the data directory is there: %v", name, err)
		}
	}
}
