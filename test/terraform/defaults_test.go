package terraform_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pillarbox/internal/config"
	"pillarbox/internal/engine/catalog"
	"pillarbox/internal/engine/dynamodb"
)

const module = "../../deploy/terraform"

// source is the text of the whole module.
func source(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(module, "*.tf"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// find returns what the group of an expression matches.
func find(t *testing.T, text, expression string) string {
	t.Helper()
	found := regexp.MustCompile(expression).FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("nothing in the module matches %s", expression)
	}
	return found[1]
}

// defaultOf returns the default of a variable as it is written.
func defaultOf(t *testing.T, text, variable string) string {
	t.Helper()
	return find(t, text, `(?s)variable "`+variable+`" \{.*?\n  default\s*= ([^\n]*)\n`)
}

// TestDefaultsAreThoseOfTheBinary: where the module has to name a value that the binary has a
// default for, it is that.
func TestDefaultsAreThoseOfTheBinary(t *testing.T) {
	text, binary := source(t), config.Default()
	for name, pair := range map[string]struct{ got, want string }{
		"time_index_shards": {defaultOf(t, text, "time_index_shards"),
			strconv.Itoa(dynamodb.DefaultShards)},
		"max_receive_count": {defaultOf(t, text, "max_receive_count"),
			strconv.Itoa(binary.Destinations["events"].MaxAttempts)},
		"source_name":        {defaultOf(t, text, "source_name"), `"app"`},
		"destination_name":   {find(t, text, `destination_name = "(.*)"`), "events"},
		"dead_letter_prefix": {"files:" + strings.TrimSuffix(find(t, text, `dead_letter_prefix = "(.*)"`), "/"), binary.DeadLetters.URL},
		"log_level":          {defaultOf(t, text, "log_level"), strconv.Quote(binary.Log.Level)},
		"source path":        {find(t, text, `PILLARBOX_SOURCE_PATH\s*= "(.*)"`), "/${var.source_name}"},
	} {
		if pair.got != pair.want {
			t.Errorf("%s: the module has %s, the binary %s", name, pair.got, pair.want)
		}
	}
	if _, there := binary.Sources["app"]; !there || binary.Sources["app"].Path != "/app" {
		t.Error("the binary's default source is another")
	}
	if _, there := binary.Destinations["events"]; !there {
		t.Error("the binary's default destination is another")
	}
}

// TestServeConfigIsRead: what the module puts out for `pillarbox serve` is a configuration, and the
// example for AWS has the same keys and engines.
func TestServeConfigIsRead(t *testing.T) {
	text := source(t)
	output := find(t, text, `(?s)output "serve_config" \{.*?<<-YAML\n(.*?)  YAML`)
	const condition = `${var.time_index ? "?index=${local.time_index_name}&shards=${var.time_index_shards}" : ""}`
	if !strings.Contains(output, condition) {
		t.Fatalf("the time index is not in the output as it was:\n%s", output)
	}
	index := find(t, text, `time_index_name\s*= "(.*)"`)
	output = strings.Replace(output, condition,
		"?index="+index+"&shards="+defaultOf(t, text, "time_index_shards"), 1)
	for expression, value := range map[string]string{
		`\$\{replace\(aws_sqs_queue\.events\.url[^}]*\}`:   "sqs://sqs.eu-west-2.amazonaws.com/123456789012/pillarbox-events",
		`\$\{local\.delivery_days\}`:                       "10",
		`\$\{local\.destination_name\}`:                    "events",
		`\$\{jsonencode\(local\.served_sources\)\}`:        `{"app":{"deny":[],"path":"/app"}}`,
		`\$\{jsonencode\(local\.served_names\)\}`:          `["app"]`,
		`\$\{local\.api_keys_url\}`:                        "",
		`\$\{local\.idempotency_url\}`:                     "dynamodb://eu-west-2/pillarbox-idempotency",
		`\$\{local\.region\}`:                              "eu-west-2",
		`\$\{var\.max_receive_count\}`:                     "20",
		`\$\{trimsuffix\(local\.dead_letter_prefix[^}]*\}`: "dead-letters",
		`\$\{trimsuffix\(local\.bodies_prefix[^}]*\}`:      "bodies",
		`\$\{aws_dynamodb_table\.events\.name\}`:           "pillarbox-events",
		`\$\{aws_s3_bucket\.dead_letters\.bucket\}`:        "pillarbox-dead-letters-123456789012-eu-west-2",
	} {
		output = regexp.MustCompile(expression).ReplaceAllString(output, value)
	}
	got, want := load(t, output), load(t, config.ExampleAWS())
	if changes := config.Changed(want, got); len(changes) != 0 {
		t.Errorf("the module's configuration differs from the example:\n%s\n%v", output, changes)
	}
	if err := catalog.CheckQueue(got.Queue.URL); err != nil {
		t.Error(err)
	}
	if err := catalog.CheckSink("events", got.Destinations["events"].URL); err != nil {
		t.Error(err)
	}
	if err := catalog.CheckDeadLetters(got.DeadLetters.URL); err != nil {
		t.Error(err)
	}
	if err := catalog.CheckKeyStore(got.Queue.URL, got.Idempotency.URL); err != nil {
		t.Error(err)
	}
	if err := catalog.CheckBodies(got.Bodies.URL); err != nil {
		t.Error(err)
	}
}

func load(t *testing.T, text string) *config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "aws.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	loaded, err := config.Load(config.Input{Path: file,
		Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return loaded
}
