package xray_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"pillarbox/internal/xray"
	"pillarbox/test/standin/fakexray"
)

const (
	root    = "1-6744a1b2-0123456789abcdef01234567"
	parent  = "53995c3f42cd8ad8"
	sampled = "Root=" + root + ";Parent=" + parent + ";Sampled=1;Lineage=1:4b3a:0"
)

// handler is a function as Lambda calls it.
type handler func(ctx context.Context, payload []byte) ([]byte, error)

func (h handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return h(ctx, payload)
}

// open makes a tracer whose invocations have the header.
func open(t *testing.T, address, header string, log *bytes.Buffer) *xray.Tracer {
	t.Helper()
	tracer, err := xray.Open(address, xray.Options{Header: func() string { return header },
		Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// client makes one of SQS that is answered with the statuses, in this order.
func client(t *testing.T, tracer *xray.Tracer, statuses ...int) *sqs.Client {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status := statuses[0]
		statuses = statuses[1:]
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		w.Header().Set("X-Amzn-Requestid", "of-the-call")
		w.WriteHeader(status)
		switch status {
		case http.StatusOK:
			_, _ = w.Write([]byte(`{"Attributes":{}}`))
		case http.StatusForbidden:
			_, _ = w.Write([]byte(`{"__type":"AccessDenied","message":"a secret"}`))
		case http.StatusBadRequest:
			_, _ = w.Write([]byte(`{"__type":"RequestThrottled","message":"a secret"}`))
		default:
			_, _ = w.Write([]byte(`{"__type":"InternalError","message":"a secret"}`))
		}
	}))
	t.Cleanup(server.Close)
	config := aws.Config{Region: "eu-west-2", BaseEndpoint: &server.URL,
		Credentials: credentials.NewStaticCredentialsProvider("id", "key", "")}
	tracer.Instrument(&config)
	return sqs.NewFromConfig(config)
}

func ask(ctx context.Context, c *sqs.Client, tries int) error {
	url := "https://sqs.eu-west-2.amazonaws.com/1/events"
	_, err := c.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{QueueUrl: &url},
		func(o *sqs.Options) { o.RetryMaxAttempts = tries })
	return err
}

// TestCallsAreBelowTheInvocation: one subsegment for the work, below the segment that Lambda makes,
// and one below that for each call, with how it ended and nothing of what was said.
func TestCallsAreBelowTheInvocation(t *testing.T) {
	daemon, log := fakexray.New(t), &bytes.Buffer{}
	tracer := open(t, daemon.Address(), sampled, log)
	c := client(t, tracer, 200, 403, 400, 500, 500, 200)
	_, err := tracer.Handler("accept", handler(func(ctx context.Context, _ []byte) ([]byte, error) {
		xray.Annotate(ctx, "request_id", "one")
		xray.Annotate(ctx, "empty", "")
		_ = ask(ctx, c, 1)
		_ = ask(ctx, c, 1)
		_ = ask(context.Background(), c, 1) // by a goroutine that knows nothing of the invocation
		_ = ask(ctx, c, 1)
		return nil, ask(ctx, c, 2)
	})).Invoke(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	sent := daemon.Take()
	if len(sent) != 6 {
		t.Fatalf("%d subsegments: %v", len(sent), sent)
	}
	work := sent[5]
	if work.Name != "accept" || work.TraceID != root || work.ParentID != parent || work.Fault ||
		len(work.Annotations) != 1 || work.Annotations["request_id"] != "one" {
		t.Errorf("the work is %s", work.Text)
	}
	for i, want := range []struct {
		status                 int
		error, throttle, fault bool
		cause                  string
		retries                any
	}{
		{status: 200}, {status: 403, error: true, cause: "AccessDenied"},
		{status: 400, error: true, throttle: true, cause: "RequestThrottled"},
		{status: 500, fault: true, cause: "InternalError"}, {status: 200, retries: 1.0},
	} {
		got := sent[i]
		causes := ""
		for _, exception := range got.Cause.Exceptions {
			causes += exception.Type
		}
		if got.Name != "SQS" || got.Namespace != "aws" || got.TraceID != root ||
			got.ParentID != work.ID || got.AWS["operation"] != "GetQueueAttributes" ||
			got.AWS["region"] != "eu-west-2" || got.AWS["request_id"] != "of-the-call" ||
			got.AWS["queue_url"] != "https://sqs.eu-west-2.amazonaws.com/1/events" ||
			got.HTTP.Response.Status != want.status || got.Error != want.error ||
			got.Throttle != want.throttle || got.Fault != want.fault || causes != want.cause ||
			got.AWS["retries"] != want.retries || strings.Contains(got.Text, "secret") {
			t.Errorf("call %d is %s, want %+v", i, got.Text, want)
		}
	}
	if log.Len() > 0 {
		t.Errorf("told was %s", log)
	}
}

// TestUnsampledSendsNothing, and neither does what is called between two invocations.
func TestUnsampledSendsNothing(t *testing.T) {
	daemon, log := fakexray.New(t), &bytes.Buffer{}
	for _, header := range []string{
		"", "Root=" + root, "Root=" + root + ";Parent=" + parent, strings.Replace(sampled, "Sampled=1", "Sampled=0", 1),
		strings.Replace(sampled, "Sampled=1", "Sampled=?", 1), "Root=1-6744a1b2-x;Parent=" + parent + ";Sampled=1",
		"Root=" + root + ";Parent=short;Sampled=1",
	} {
		tracer := open(t, daemon.Address(), header, log)
		c := client(t, tracer, 200)
		_, err := tracer.Handler("accept", handler(func(ctx context.Context, _ []byte) ([]byte, error) {
			xray.Annotate(ctx, "request_id", "one")
			return nil, ask(ctx, c, 1)
		})).Invoke(t.Context(), nil)
		if err != nil {
			t.Errorf("%s: %v", header, err)
		}
	}
	c := client(t, open(t, daemon.Address(), sampled, log), 200)
	if err := ask(t.Context(), c, 1); err != nil {
		t.Error(err)
	}
	if sent := daemon.Take(); len(sent) != 0 {
		t.Errorf("sent was %v", sent)
	}
}

// TestWithoutDaemonNothingIsMade: the handler is the one given, and clients have nothing more to do.
func TestWithoutDaemonNothingIsMade(t *testing.T) {
	tracer := open(t, "", sampled, &bytes.Buffer{})
	called := 0
	plain := &counter{&called}
	config := aws.Config{}
	tracer.Instrument(&config)
	if got := tracer.Handler("accept", plain); got != xray.Handler(plain) || config.APIOptions != nil {
		t.Errorf("the handler is %T, and calls have %d options more", got, len(config.APIOptions))
	}
}

type counter struct{ called *int }

func (c *counter) Invoke(context.Context, []byte) ([]byte, error) { *c.called++; return nil, nil }

// TestDaemonThatIsGoneFailsNothing, and is told once.
func TestDaemonThatIsGoneFailsNothing(t *testing.T) {
	log := &bytes.Buffer{}
	tracer := open(t, "127.0.0.1:1", sampled, log)
	h := tracer.Handler("accept", handler(func(context.Context, []byte) ([]byte, error) {
		return []byte("answer"), nil
	}))
	for range 10 { // that nobody listens is learned from an earlier send
		if answer, err := h.Invoke(t.Context(), nil); string(answer) != "answer" || err != nil {
			t.Errorf("%q, %v", answer, err)
		}
	}
	if n := strings.Count(log.String(), "\n"); n > 1 {
		t.Errorf("told %d times: %s", n, log)
	}
	if _, err := xray.Open("no address", xray.Options{}); err == nil {
		t.Error("an address that is none is taken")
	}
}

// TestAddressOfBothProtocols: the daemon's address may name TCP too.
func TestAddressOfBothProtocols(t *testing.T) {
	daemon := fakexray.New(t)
	for _, address := range []string{daemon.Address(), "tcp:127.0.0.1:1 udp:" + daemon.Address(),
		"udp:" + daemon.Address() + " tcp:127.0.0.1:1"} {
		h := open(t, address, sampled, &bytes.Buffer{}).Handler("deliver",
			handler(func(context.Context, []byte) ([]byte, error) { return nil, nil }))
		if _, err := h.Invoke(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if sent := daemon.Take(); len(sent) != 1 || sent[0].Name != "deliver" {
			t.Errorf("%s: sent was %v", address, sent)
		}
	}
}

// TestFailureIsAFault, also one by a panic, which goes on.
func TestFailureIsAFault(t *testing.T) {
	daemon := fakexray.New(t)
	tracer := open(t, daemon.Address(), sampled, &bytes.Buffer{})
	bug := errors.New("a secret")
	_, err := tracer.Handler("deliver", handler(func(context.Context, []byte) ([]byte, error) {
		return nil, bug
	})).Invoke(t.Context(), nil)
	if err != bug {
		t.Errorf("the error became %v", err)
	}
	func() {
		defer func() {
			if cause := recover(); cause != "bug" {
				t.Errorf("the panic became %v", cause)
			}
		}()
		_, _ = tracer.Handler("deliver", handler(func(context.Context, []byte) ([]byte, error) {
			panic("bug")
		})).Invoke(t.Context(), nil)
	}()
	sent := daemon.Take()
	if len(sent) != 2 || !sent[0].Fault || !sent[1].Fault || strings.Contains(sent[0].Text, "secret") {
		t.Errorf("sent was %v", sent)
	}
}

// TestTraceIsBounded in its calls and in what is said.
func TestTraceIsBounded(t *testing.T) {
	daemon := fakexray.New(t)
	tracer := open(t, daemon.Address(), sampled, &bytes.Buffer{})
	statuses := make([]int, xray.MaxCalls+3)
	for i := range statuses {
		statuses[i] = http.StatusOK
	}
	c := client(t, tracer, statuses...)
	if _, err := tracer.Handler("deliver", handler(func(ctx context.Context, _ []byte) ([]byte, error) {
		xray.Annotate(ctx, "request_id", strings.Repeat("x", xray.MaxAnnotationBytes+1))
		for i := range statuses {
			if err := ask(ctx, c, 1); err != nil {
				return nil, fmt.Errorf("call %d: %w", i, err)
			}
		}
		return nil, nil
	})).Invoke(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	sent := daemon.Take()
	work := sent[len(sent)-1]
	if len(sent) != xray.MaxCalls+1 || work.Annotations["untraced_calls"] != "3" ||
		len(work.Annotations["request_id"]) != xray.MaxAnnotationBytes {
		t.Errorf("%d subsegments, and the work is %.200s", len(sent), work.Text)
	}
}

// TestHeaderOfMessages is that of the trace, without what is not ours.
func TestHeaderOfMessages(t *testing.T) {
	plain := "Root=" + root + ";Parent=" + parent + ";Sampled="
	for header, want := range map[string]string{
		sampled: plain + "1", "Parent=" + parent + "; Root=" + root: plain + "0",
		"Root=" + root: "", "": "", "Root=2-6744a1b2-0123456789abcdef01234567;Parent=" + parent: "",
	} {
		if got := xray.Header(header); got != want {
			t.Errorf("of %q: %q, want %q", header, got, want)
		}
	}
}

// BenchmarkInvocation measures what tracing costs an invocation beside its calls.
func BenchmarkInvocation(b *testing.B) {
	daemon, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = daemon.Close() }() // nobody sends any more
	for name, header := range map[string]string{"sampled": sampled,
		"unsampled": strings.Replace(sampled, "Sampled=1", "Sampled=0", 1)} {
		b.Run(name, func(b *testing.B) {
			tracer, err := xray.Open(daemon.LocalAddr().String(),
				xray.Options{Header: func() string { return header }})
			if err != nil {
				b.Fatal(err)
			}
			h := tracer.Handler("accept", &counter{new(int)})
			b.ReportAllocs()
			for b.Loop() {
				if _, err := h.Invoke(b.Context(), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
