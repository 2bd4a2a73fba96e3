package main

import (
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// environment is one in which all roles start.
func environment(role string, more map[string]string) func(string) (string, bool) {
	set := map[string]string{
		"PILLARBOX_ROLE": role, "PILLARBOX_SQS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/events",
		"PILLARBOX_SQS_DEAD_LETTER_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/dead-letters",
		"PILLARBOX_DYNAMODB_TABLE":            "events", "PILLARBOX_DEAD_LETTER_BUCKET": "dead",
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key",
	}
	for name, value := range more {
		set[name] = value
	}
	return func(name string) (string, bool) {
		value, ok := set[name]
		return value, ok
	}
}

const terraform = "../../deploy/terraform/"

// TestDocumentKnowsEveryVariable compares the table with the one that people read: names, and which
// role is told.
func TestDocumentKnowsEveryVariable(t *testing.T) {
	text, err := os.ReadFile(terraform + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "## What the functions are told")
	if !found {
		t.Fatal("the section is gone")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	documented := map[string][]string{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) < 6 {
			continue
		}
		var roles []string
		for i, role := range all {
			if strings.Contains(cells[2+i], "✓") {
				roles = append(roles, role)
			}
		}
		for _, name := range regexp.MustCompile("`(PILLARBOX_[A-Z_]+)`").FindAllStringSubmatch(cells[1], -1) {
			documented[name[1]] = roles
		}
	}
	for _, v := range variables {
		roles := documented[v.name]
		if !slices.Equal(roles, v.roles) {
			t.Errorf("the document has %s for %q, the command for %q", v.name, roles, v.roles)
		}
		delete(documented, v.name)
	}
	for name := range documented {
		t.Errorf("the document has %s, the command does not", name)
	}
}

// TestTerraformSetsEveryVariable compares the names with those that are set where the functions are
// made.
func TestTerraformSetsEveryVariable(t *testing.T) {
	set := map[string]bool{}
	for _, file := range []string{"functions.tf", "locals.tf"} {
		text, err := os.ReadFile(terraform + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range regexp.MustCompile(`(PILLARBOX_[A-Z_]+)\s*=`).FindAllStringSubmatch(string(text), -1) {
			set[name[1]] = true
		}
	}
	for _, v := range variables {
		if !set[v.name] {
			t.Errorf("%s is not set", v.name)
		}
		delete(set, v.name)
	}
	for name := range set {
		t.Errorf("%s is set, and nothing reads it", name)
	}
}

// TestEveryRoleStarts without a call to anything.
func TestEveryRoleStarts(t *testing.T) {
	for _, role := range all {
		for _, bucket := range []string{"", "bodies"} {
			handler, err := start(environment(role, map[string]string{"PILLARBOX_BODIES_BUCKET": bucket}),
				io.Discard, io.Discard)
			if err != nil || handler == nil {
				t.Errorf("%s: %v", role, err)
			}
		}
	}
}

// TestWrongVariablesAreNamed, all of them at once, with what to set them to.
func TestWrongVariablesAreNamed(t *testing.T) {
	for _, c := range []struct {
		role string
		set  map[string]string
		want []string
	}{
		{"", nil, []string{"PILLARBOX_ROLE is missing: set it to accept, deliver or deadletter"}},
		{"admin", nil, []string{`PILLARBOX_ROLE is "admin", which is no role: set it to accept, deliver or deadletter`}},
		{"accept", map[string]string{"PILLARBOX_SQS_QUEUE_URL": "", "AWS_REGION": ""}, []string{
			"PILLARBOX_SQS_QUEUE_URL is missing: set it to the URL of the queue", "AWS_REGION is missing: Lambda sets it"}},
		{"accept", map[string]string{"PILLARBOX_SQS_QUEUE_URL": "events", "PILLARBOX_SOURCE": "A b",
			"PILLARBOX_SOURCE_PATH": "app", "PILLARBOX_MAX_BODY": "1MiB"}, []string{
			`PILLARBOX_SQS_QUEUE_URL is "events", which is no URL`, `PILLARBOX_SOURCE is "A b"`, `PILLARBOX_SOURCE_PATH is "app"`,
			`PILLARBOX_MAX_BODY is "1MiB", which is no number above zero: set it to the largest body, as a number of bytes`}},
		{"accept", map[string]string{"PILLARBOX_MAX_BODY": "16777216"}, []string{
			"PILLARBOX_MAX_BODY is 16777216, and a message of SQS has 1048576 bytes at most", "PILLARBOX_BODIES_BUCKET"}},
		{"accept", map[string]string{"PILLARBOX_SOURCE_PATH": "/a/*"}, []string{
			`PILLARBOX_SOURCE_PATH is "/a/*"`}},
		{"deliver", map[string]string{"PILLARBOX_DYNAMODB_TABLE": "", "PILLARBOX_MAX_RECEIVES": "3",
			"PILLARBOX_MAX_AGE": "10d", "PILLARBOX_DYNAMODB_TIME_SHARDS": "0",
			"PILLARBOX_SQS_DEAD_LETTER_QUEUE_URL": "", "PILLARBOX_MAX_RETRY_WAIT": "-1s", "PILLARBOX_LOG_LEVEL": "loud", "PILLARBOX_LOG_FORMAT": "xml"}, []string{
			"PILLARBOX_DYNAMODB_TABLE is missing", `PILLARBOX_MAX_RECEIVES is "3", which is no whole number from 5 to 1000: set it to maxReceiveCount of the queue`,
			`PILLARBOX_MAX_AGE is "10d"`, "PILLARBOX_DYNAMODB_TIME_SHARDS", "PILLARBOX_SQS_DEAD_LETTER_QUEUE_URL is missing", "PILLARBOX_MAX_RETRY_WAIT", "PILLARBOX_LOG_LEVEL", "PILLARBOX_LOG_FORMAT"}},
		{"deadletter", map[string]string{"PILLARBOX_DEAD_LETTER_BUCKET": "", "AWS_ACCESS_KEY_ID": "",
			"AWS_SECRET_ACCESS_KEY": ""}, []string{
			"PILLARBOX_DEAD_LETTER_BUCKET is missing: set it to the name of the bucket of dead letters", "AWS_ACCESS_KEY_ID is missing", "AWS_SECRET_ACCESS_KEY is missing"}},
		{"accept", map[string]string{"PILLARBOX_SQS_QUEUE_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/events.fifo"}, []string{"PILLARBOX_SQS_QUEUE_URL: "}},
	} {
		_, err := start(environment(c.role, c.set), io.Discard, io.Discard)
		if err == nil {
			t.Errorf("%s with %v starts", c.role, c.set)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s with %v: %v\nwant %s", c.role, c.set, err, want)
			}
		}
	}
}

// TestVariablesAreRead, and what is not there has its default.
func TestVariablesAreRead(t *testing.T) {
	s, err := readSettings(environment("deliver",
		map[string]string{"PILLARBOX_MAX_RETRY_WAIT": "43200s", "PILLARBOX_MAX_AGE": "96h",
			"PILLARBOX_DYNAMODB_TIME_INDEX": "TimeIndex", "PILLARBOX_SOURCE": "orders",
			"AWS_ENDPOINT_URL": "http://one/", "AWS_ENDPOINT_URL_SQS": "http://two"}))
	if err != nil {
		t.Fatal(err)
	}
	if s.maxRetryWait != 12*time.Hour || s.maxAge != 96*time.Hour || s.timeIndex != "TimeIndex" ||
		s.timeShards != 8 || s.maxReceives != 20 ||
		s.source != "orders" || s.sourcePath != "/orders" || s.destination != "events" ||
		s.bodiesPrefix != "bodies/" || s.bodiesBucket != "" || s.maxBody != 1<<20 {
		t.Errorf("read as %+v", s)
	}
	if *s.aws.endpoint("SQS") != "http://two" || *s.aws.endpoint("S3") != "http://one" {
		t.Errorf("endpoints of %+v", s.aws)
	}
	for _, set := range []map[string]string{{"PILLARBOX_MAX_BODY": "1048576"},
		{"PILLARBOX_MAX_BODY": "16777216", "PILLARBOX_BODIES_BUCKET": "bodies"}} {
		if _, err := readSettings(environment("accept", set)); err != nil {
			t.Errorf("%v: %v", set, err)
		}
	}
	s, err = readSettings(environment("accept", nil))
	if err != nil || s.aws.endpoint("SQS") != nil || s.sourcePath != "/app" {
		t.Errorf("read as %+v, %v", s, err)
	}
}
