package fakelambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"pillarbox/test/standin/fakelambda"
)

// TestMain is the function too: the test's own binary, started by an environment.
func TestMain(m *testing.M) {
	if api := os.Getenv("AWS_LAMBDA_RUNTIME_API"); api != "" {
		os.Exit(serve("http://" + api + "/2018-06-01/runtime/"))
	}
	os.Exit(m.Run())
}

// serve is the loop of a runtime. The payload says what the function does.
func serve(api string) int {
	if os.Getenv("BREAK") == "init" {
		_, _ = http.Post(api+"init/error", "application/json", strings.NewReader(`{"errorType":"Bad.Init","errorMessage":"no configuration"}`))
		return 1
	}
	for {
		next, err := http.Get(api + "invocation/next")
		if err != nil {
			return 2
		}
		payload, err := io.ReadAll(next.Body)
		if err != nil {
			return 2
		}
		var asked string
		_ = json.Unmarshal(payload, &asked) // what is no text is echoed
		call := api + "invocation/" + next.Header.Get("Lambda-Runtime-Aws-Request-Id")
		answer, ending := call+"/response", false
		switch asked {
		case "error":
			answer, payload = call+"/error", []byte(`{"errorType":"errorString","errorMessage":"refused"}`)
		case "panic":
			answer, payload, ending = call+"/error", []byte(`{"errorType":"runtime.Error","errorMessage":"panicked"}`), true
		case "exit":
			return 3
		case "sleep":
			time.Sleep(time.Hour)
		case "large":
			payload = bytes.Repeat([]byte("x"), 6<<20+1)
		case "stranger":
			response, err := http.Post(api+"invocation/another/response", "application/json",
				strings.NewReader("{}"))
			if err != nil {
				return 2
			}
			payload = fmt.Append(nil, response.StatusCode)
		case "deadline":
			payload = []byte(next.Header.Get("Lambda-Runtime-Deadline-Ms"))
		}
		if _, err := http.Post(answer, "application/json", bytes.NewReader(payload)); err != nil ||
			ending {
			return 4
		}
	}
}

func newFunction(t *testing.T, env ...string) *fakelambda.Function {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f := fakelambda.New(fakelambda.Options{Path: path, Env: env, Timeout: 5 * time.Second})
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// TestLifeOfAnEnvironment: a function that returns an error lives on; one that panics, ends or
// takes too long is started again with the next call.
func TestLifeOfAnEnvironment(t *testing.T) {
	f := newFunction(t)
	for _, c := range []struct {
		ask, answer, fails string
		colds              int // so far
	}{
		{`{"a":1}`, `{"a":1}`, "", 1}, {`"error"`, "", "errorString: refused", 1}, {`"stranger"`, "400", "", 1},
		{`"large"`, "", "Function.ResponseSizeTooLarge", 1}, {`"panic"`, "", "runtime.Error: panicked", 1}, {`{}`, `{}`, "", 2},
		{`"exit"`, "", "Runtime.ExitError: RequestId: 00000000-0000-4000-8000-000000000007 Error: Runtime exited: exit status 3", 2}, {`{}`, `{}`, "", 3},
		{`"sleep"`, "", "Sandbox.Timedout: RequestId: 00000000-0000-4000-8000-000000000009 Error: Task timed out after 5.00 seconds", 3}, {`{}`, `{}`, "", 4},
	} {
		answer, err := f.Invoke(context.Background(), []byte(c.ask))
		var failed *fakelambda.FunctionError
		switch {
		case c.fails == "" && (err != nil || string(answer) != c.answer):
			t.Errorf("%s is answered with %s, %v", c.ask, answer, err)
		case c.fails != "" && (!errors.As(err, &failed) || !strings.HasPrefix(err.Error(), c.fails)):
			t.Errorf("%s fails with %v, want %s", c.ask, err, c.fails)
		}
		if colds := f.Stats().ColdStarts; colds != c.colds {
			t.Errorf("after %s: %d cold starts, want %d", c.ask, colds, c.colds)
		}
	}
	if stats := f.Stats(); stats.Invocations != 10 || stats.Startup <= 0 {
		t.Errorf("stats %+v", stats)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := f.Invoke(ctx, []byte(`"sleep"`)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller that leaves gets %v", err)
	}
	if _, err := f.Invoke(context.Background(), make([]byte, 6<<20+1)); err == nil {
		t.Error("a payload of more than 6 MB is taken")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.Invoke(context.Background(), []byte(`{}`)); err == nil {
		t.Error("a closed function is called")
	}
}

func TestFunctionThatDoesNotStart(t *testing.T) {
	f := newFunction(t, "BREAK=init")
	if _, err := f.Invoke(context.Background(), []byte(`{}`)); err == nil || !strings.Contains(err.Error(), "no configuration") {
		t.Errorf("got %v", err)
	}
	f = fakelambda.New(fakelambda.Options{Path: "/nothing/here"})
	if _, err := f.Invoke(context.Background(), []byte(`{}`)); err == nil {
		t.Error("a function without a binary is called")
	}
}

// TestResponsesMeanWhatTheyMeanToLambda holds the mapping to the rules of ReportBatchItemFailures.
func TestResponsesMeanWhatTheyMeanToLambda(t *testing.T) {
	batch := []fakelambda.Message{{ID: "a"}, {ID: "b"}}
	for response, want := range map[string]string{
		``: "", `null`: "", `{}`: "", `{"batchItemFailures":null}`: "", `{"batchItemFailures":[]}`: "", `{"other":1}`: "",
		`{"batchItemFailures":[{"itemIdentifier":"b"}]}`:                        "b",
		`{"batchItemFailures":[{"itemIdentifier":"b"},{"itemIdentifier":"a"}]}`: "ab",
		`{"batchItemFailures":[{"itemIdentifier":""}]}`:                         "all",
		`{"batchItemFailures":[{"itemIdentifier":null}]}`:                       "all",
		`{"batchItemFailures":[{"itemIdentifier":"c"}]}`:                        "all",
		`{"batchItemFailures":[{"ItemIdentifier":"a"}]}`:                        "all",
		`{"batchItemFailures":[{"itemIdentifier":"a"},{"messageId":"b"}]}`:      "all",
		`{"batchItemFailures":[{"itemIdentifier":5}]}`:                          "all",
		`{"batchItemFailures":{}}`:                                              "all", `not JSON`: "all", `[]`: "all",
	} {
		failed, err := fakelambda.Failures([]byte(response), batch)
		got := ""
		for _, message := range batch {
			if failed[message.ID] {
				got += message.ID
			}
		}
		if err != nil {
			got = "all"
		}
		if got != want {
			t.Errorf("%s fails %q, want %q", response, got, want)
		}
	}
}

// source is a queue in memory.
type source struct {
	waiting []fakelambda.Message
	deleted []string
}

func (s *source) Receive(_ context.Context, n int, _ time.Duration) ([]fakelambda.Message, error) {
	n = min(n, len(s.waiting))
	batch := s.waiting[:n]
	s.waiting = s.waiting[n:]
	return batch, nil
}

func (s *source) Delete(_ context.Context, handles []string) error {
	s.deleted = append(s.deleted, handles...)
	return nil
}

func (s *source) ARN() string { return "arn:aws:sqs:us-east-1:000000000000:q" }

// invoker is a function in the same process.
type invoker func(payload []byte) ([]byte, error)

func (f invoker) Invoke(_ context.Context, payload []byte) ([]byte, error) { return f(payload) }

func TestMappingDeletesWhatIsDone(t *testing.T) {
	var seen struct {
		Records []struct{ MessageID, ReceiptHandle, Body, EventSource, EventSourceARN string }
	}
	answers := func(response string, err error) invoker {
		return func(payload []byte) ([]byte, error) {
			if err := json.Unmarshal(payload, &seen); err != nil {
				t.Error(err)
			}
			return []byte(response), err
		}
	}
	for _, c := range []struct {
		response string
		err      error
		report   bool
		deleted  int
	}{
		{`{"batchItemFailures":[{"itemIdentifier":"3"}]}`, nil, true, 14}, {`{"batchItemFailures":[{"itemIdentifier":"3"}]}`, nil, false, 15},
		{`{"batchItemFailures":[{"itemIdentifier":"x"}]}`, nil, true, 0}, {``, nil, true, 15}, {``, errors.New("bug"), true, 0},
	} {
		s := &source{}
		for i := range 20 {
			s.waiting = append(s.waiting, fakelambda.Message{ID: fmt.Sprint(i),
				ReceiptHandle: fmt.Sprint("handle ", i), Body: "body"})
		}
		m := &fakelambda.Mapping{Source: s, Function: answers(c.response, c.err), BatchSize: 15,
			Report: c.report}
		result, err := m.Poll(context.Background(), 0)
		if err != nil || result.Received != 15 || result.Deleted != c.deleted ||
			len(s.deleted) != c.deleted || (result.Failure != nil) != (c.deleted == 0) {
			t.Errorf("%q: %+v, %v, deleted %q", c.response, result, err, s.deleted)
		}
		if len(seen.Records) != 15 || seen.Records[14].MessageID != "14" ||
			seen.Records[0].EventSource != "aws:sqs" || seen.Records[0].EventSourceARN != s.ARN() {
			t.Errorf("the function saw %+v", seen.Records)
		}
	}
	if result, err := (&fakelambda.Mapping{Source: &source{}}).Poll(context.Background(),
		0); err != nil || result.Received != 0 {
		t.Errorf("an empty queue: %+v, %v", result, err)
	}
}

// TestGatewaysSayWhatAWSSays where the function's answer is none.
func TestGatewaysSayWhatAWSSays(t *testing.T) {
	for _, c := range []struct {
		kind     fakelambda.Kind
		response string
		err      error
		status   int
		body     string
	}{
		{fakelambda.REST, `{"statusCode":202,"body":"aGk=","isBase64Encoded":true}`, nil, 202, "hi"}, {fakelambda.HTTP, `{"statusCode":404,"body":"no"}`, nil, 404, "no"},
		{fakelambda.REST, `{"hello":1}`, nil, 502, ""}, {fakelambda.HTTP, `{"hello":1}`, nil, 200, `{"hello":1}`}, {fakelambda.URL, `"hi"`, nil, 200, `"hi"`},
		{fakelambda.REST, "", errors.New("bug"), 502, ""}, {fakelambda.HTTP, "", errors.New("bug"), 500,
			""}, {fakelambda.URL, "", errors.New("bug"), 502, ""},
	} {
		function := invoker(func([]byte) ([]byte, error) { return []byte(c.response), c.err })
		recorder := httptest.NewRecorder()
		(&fakelambda.Gateway{Kind: c.kind, Function: function}).ServeHTTP(recorder,
			httptest.NewRequest(http.MethodPost, "/app?a=1", strings.NewReader("body")))
		if recorder.Code != c.status || c.body != "" && recorder.Body.String() != c.body {
			t.Errorf("%s with %s, %v: %d %s", c.kind, c.response, c.err, recorder.Code, recorder.Body)
		}
	}
}
