package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pillarbox/internal/lambda"
	"pillarbox/internal/retry"
	"pillarbox/internal/source"
	"pillarbox/internal/sqsrules"
)

// variable is one of the environment. The table is what a function can be told; nothing else is
// read, but for the region, the credentials and the endpoints, which have AWS's own names.
type variable struct {
	name   string
	roles  []string // that are told
	needed []string // the ones of these that don't work without
	want   string   // what to set it to
	read   func(s *settings, text string) error
}

var (
	all       = []string{roleAccept, roleDeliver, roleDeadLetter}
	onAccept  = []string{roleAccept}
	onDeliver = []string{roleDeliver}
	onQueue   = []string{roleAccept, roleDeliver}
	onDead    = []string{roleDeadLetter}
)

var variables = []variable{
	{"PILLARBOX_ROLE", all, all, "accept, deliver or deadletter", (*settings).readRole},
	{"PILLARBOX_SOURCE", all, nil, "the name of the source, as app",
		textIn(func(s *settings) *string { return &s.source }, nameForm)},
	{"PILLARBOX_DESTINATION", all, nil, "the name of the destination, as events",
		textIn(func(s *settings) *string { return &s.destination }, nameForm)},
	{"PILLARBOX_LOG_LEVEL", all, nil, "debug, info, warn or error", (*settings).readLogLevel},
	{"PILLARBOX_LOG_FORMAT", all, nil, "json or text",
		textIn(func(s *settings) *string { return &s.logFormat }, formatForm)},
	{"PILLARBOX_SOURCE_PATH", onAccept, nil, "the path of the source, as /app",
		textIn(func(s *settings) *string { return &s.sourcePath }, pathForm)},
	{"PILLARBOX_MAX_BODY", onAccept, nil, "the largest body, as a number of bytes",
		(*settings).readMaxBody},
	{"PILLARBOX_SOURCES_FILE", onAccept, nil,
		"the file of sources, beside the binary or as a whole path, as sources.yaml; else there is one source",
		textIn(func(s *settings) *string { return &s.sourcesFile }, anyForm)},
	{"PILLARBOX_SECRETS", onAccept, nil,
		"the name or ARN of the secret in Secrets Manager with what the file of sources refers to, a JSON object of texts",
		textIn(func(s *settings) *string { return &s.secrets }, anyForm)},
	{"PILLARBOX_API_KEYS_BUCKET", onAccept, nil, "the name of the bucket with the file of API keys",
		textIn(func(s *settings) *string { return &s.keysBucket }, anyForm)},
	{"PILLARBOX_API_KEYS_OBJECT", onAccept, nil, "the name of that file, as api-keys.json",
		textIn(func(s *settings) *string { return &s.keysObject }, anyForm)},
	{"PILLARBOX_IDEMPOTENCY_TABLE", onAccept, nil,
		"the name of the table of idempotency keys, or nothing where keys mean nothing",
		textIn(func(s *settings) *string { return &s.idempotencyTable }, anyForm)},
	{"PILLARBOX_SQS_QUEUE_URL", onQueue, onQueue,
		"the URL of the queue, as https://sqs.REGION.amazonaws.com/ACCOUNT/NAME", urlIn(
			func(s *settings) *string { return &s.queueURL })},
	{"PILLARBOX_SQS_DEAD_LETTER_QUEUE_URL", onDeliver, onDeliver,
		"the URL of the dead-letter queue, as https://sqs.REGION.amazonaws.com/ACCOUNT/NAME", urlIn(
			func(s *settings) *string { return &s.deadLetterURL })},
	{"PILLARBOX_DYNAMODB_TABLE", onDeliver, onDeliver, "the name of the table",
		textIn(func(s *settings) *string { return &s.table }, anyForm)},
	{"PILLARBOX_DYNAMODB_TIME_INDEX", onDeliver, nil,
		"the name of the index by time, as TimeIndex, or nothing where there is none", textIn(
			func(s *settings) *string { return &s.timeIndex }, anyForm)},
	{"PILLARBOX_DYNAMODB_TIME_SHARDS", onDeliver, nil, "the number of parts of an hour, as 8",
		numberIn(func(s *settings) *int { return &s.timeShards }, 1, 100)},
	{"PILLARBOX_MAX_RECEIVES", onDeliver, nil, "maxReceiveCount of the queue, 5 or more, as 20",
		numberIn(func(s *settings) *int { return &s.maxReceives }, 5, 1000)},
	{"PILLARBOX_MAX_RETRY_WAIT", onDeliver, nil, "the longest wait between two receives, as 43200s",
		durationIn(func(s *settings) *time.Duration { return &s.maxRetryWait })},
	{"PILLARBOX_MAX_AGE", onDeliver, nil, "the age at which an event is given up, as 240h",
		durationIn(func(s *settings) *time.Duration { return &s.maxAge })},
	{"PILLARBOX_DEAD_LETTER_BUCKET", onDead, onDead, "the name of the bucket of dead letters",
		textIn(func(s *settings) *string { return &s.deadLetterBucket }, anyForm)},
	{"PILLARBOX_DEAD_LETTER_PREFIX", onDead, nil,
		"what stands before the names of dead letters, as dead-letters/", textIn(
			func(s *settings) *string { return &s.deadLetterPrefix }, anyForm)},
	{"PILLARBOX_BODIES_BUCKET", all, nil,
		"the name of the bucket of bodies that are too large for a message, or nothing for none", textIn(
			func(s *settings) *string { return &s.bodiesBucket }, anyForm)},
	{"PILLARBOX_BODIES_PREFIX", all, nil, "what stands before the names of bodies, as bodies/",
		textIn(func(s *settings) *string { return &s.bodiesPrefix }, anyForm)},
}

// settings is what the environment says. What it does not say has its default.
type settings struct {
	role, source, destination string
	logLevel                  slog.Level
	logFormat                 string
	sourcePath                string
	sourcesFile, secrets      string // empty: one source, and no secrets
	keysBucket, keysObject    string // of API keys; without a bucket there are none
	idempotencyTable          string // empty: idempotency keys mean nothing
	maxBody                   int64
	queueURL, deadLetterURL   string
	table, timeIndex          string
	timeShards                int
	maxReceives               int
	maxRetryWait, maxAge      time.Duration
	deadLetterBucket          string
	deadLetterPrefix          string
	bodiesBucket              string // empty: no place for large bodies
	bodiesPrefix              string
	taskRoot                  string // where Lambda has put what is in the zip; empty for this directory
	aws                       awsSettings
}

func defaults() settings {
	return settings{
		source: lambda.DefaultSource, destination: lambda.DefaultDestination, logFormat: "json", maxBody: source.DefaultMaxBody, timeShards: 8,
		maxReceives: retry.DefaultMaxAttempts, maxRetryWait: lambda.LongestWait, maxAge: 240 * time.Hour,
		deadLetterPrefix: "dead-letters/", bodiesPrefix: "bodies/", keysObject: "api-keys.json",
	}
}

// readSettings reads the variables of the role. The error names all that are missing or malformed.
// An empty text is as good as none.
func readSettings(lookup func(string) (string, bool)) (settings, error) {
	s := defaults()
	var problems []error
	for _, v := range variables { // the role is the first
		if s.role != "" && !slices.Contains(v.roles, s.role) {
			continue
		}
		text, _ := lookup(v.name)
		switch {
		case text == "" && (s.role == "" || slices.Contains(v.needed, s.role)):
			problems = append(problems, fmt.Errorf("%s is missing: set it to %s", v.name, v.want))
		case text != "":
			if err := v.read(&s, text); err != nil {
				problems = append(problems, fmt.Errorf("%s is %q, %w: set it to %s", v.name, text, err, v.want))
			}
		}
		if s.role == "" { // without it, nothing else can be judged
			return s, errors.Join(problems...)
		}
	}
	problems = append(problems, s.checkSources()...)
	if s.sourcePath == "" {
		s.sourcePath = "/" + s.source
	}
	if s.role == roleAccept && s.bodiesBucket == "" && s.maxBody > sqsrules.MaxMessageBytes {
		problems = append(problems, fmt.Errorf("PILLARBOX_MAX_BODY is %d, and a message of SQS has %d bytes at most: set it to that or less, or set PILLARBOX_BODIES_BUCKET to a bucket for larger bodies",
			s.maxBody, sqsrules.MaxMessageBytes))
	}
	s.taskRoot, _ = lookup("LAMBDA_TASK_ROOT") // Lambda's own
	var err error
	if s.aws, err = readAWS(lookup); err != nil {
		problems = append(problems, err)
	}
	return s, errors.Join(problems...)
}

func (s *settings) readRole(text string) error {
	if !slices.Contains(all, text) {
		return errors.New("which is no role")
	}
	s.role = text
	return nil
}

func (s *settings) readLogLevel(text string) error {
	if s.logLevel.UnmarshalText([]byte(text)) != nil {
		return errors.New("which is no level")
	}
	return nil
}

// checkSources refuses what means nothing together.
func (s *settings) checkSources() (problems []error) {
	fail := func(name, why string) { problems = append(problems, fmt.Errorf("%s %s", name, why)) }
	switch {
	case s.sourcesFile == "":
		if s.secrets != "" {
			fail("PILLARBOX_SECRETS", "has no effect without PILLARBOX_SOURCES_FILE, which would refer to them: set that too, or leave it out")
		}
		return problems
	case s.sourcePath != "":
		fail("PILLARBOX_SOURCE_PATH", "has no effect beside PILLARBOX_SOURCES_FILE, which says where sources are: leave one of them out")
	case s.maxBody != source.DefaultMaxBody:
		fail("PILLARBOX_MAX_BODY", "has no effect beside PILLARBOX_SOURCES_FILE: set max_body of the sources in that file")
	}
	return problems
}

func (s *settings) readMaxBody(text string) (err error) {
	if s.maxBody, err = strconv.ParseInt(text, 10, 64); err != nil || s.maxBody <= 0 {
		return errors.New("which is no number above zero")
	}
	return nil
}

// The forms of texts.
var (
	nameForm   = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)
	pathForm   = regexp.MustCompile("^/[^?#%\\s*{}\\[\\]<>|^`]*$") // it is taken as written, and no pattern
	formatForm = regexp.MustCompile(`^(json|text)$`)
	anyForm    = regexp.MustCompile(`^\S+$`)
)

func textIn(field func(*settings) *string, form *regexp.Regexp) func(*settings, string) error {
	return func(s *settings, text string) error {
		if !form.MatchString(text) {
			return errors.New("which has not the form of one")
		}
		*field(s) = text
		return nil
	}
}

func urlIn(field func(*settings) *string) func(*settings, string) error {
	return func(s *settings, text string) error {
		parsed, err := url.Parse(text)
		if err != nil || parsed.Host == "" || !strings.HasPrefix(parsed.Scheme, "http") {
			return errors.New("which is no URL")
		}
		*field(s) = text
		return nil
	}
}

func numberIn(field func(*settings) *int, low, high int) func(*settings, string) error {
	return func(s *settings, text string) error {
		n, err := strconv.Atoi(text)
		if err != nil || n < low || n > high {
			return fmt.Errorf("which is no whole number from %d to %d", low, high)
		}
		*field(s) = n
		return nil
	}
}

func durationIn(field func(*settings) *time.Duration) func(*settings, string) error {
	return func(s *settings, text string) error {
		duration, err := time.ParseDuration(text)
		if err != nil || duration <= 0 {
			return errors.New("which is no duration above zero")
		}
		*field(s) = duration
		return nil
	}
}
