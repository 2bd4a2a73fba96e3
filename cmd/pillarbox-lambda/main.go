// Command pillarbox-lambda is all functions of the cloud design in one small binary, to be named
// bootstrap and run by the runtime provided.al2023. PILLARBOX_ROLE says which it is: accept answers
// requests and puts them into the queue, deliver takes batches of the queue to the table,
// deadletter takes dead letters to the bucket.
//
// It is told everything by variables of its environment (variables.go), and reads no file. The tags
// pillarbox_accept, pillarbox_deliver and pillarbox_deadletter each leave the other roles out;
// without any of them all three are in.
package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"

	awslambda "github.com/aws/aws-lambda-go/lambda"

	"pillarbox/internal/telemetry"
	"pillarbox/internal/xray"
)

// The roles.
const (
	roleAccept     = "accept"
	roleDeliver    = "deliver"
	roleDeadLetter = "deadletter"
)

// roles makes the handler of each role. nil stands for one that was left out.
var roles = map[string]func(settings, output) (awslambda.Handler, error){
	roleAccept:     newAccept,
	roleDeliver:    newDeliver,
	roleDeadLetter: newDeadLetter,
}

// output is where a function writes. Lambda collects both.
type output struct {
	metrics io.Writer
	logger  *slog.Logger
	tracer  *xray.Tracer // nil: nothing is traced
}

func main() {
	handler, err := start(os.LookupEnv, os.Stdout, os.Stderr)
	if err != nil {
		logger := slog.New(slog.NewJSONHandler(os.Stderr, nil))
		logger.Error("the function can't start", telemetry.KeyErr, err)
		os.Exit(1)
	}
	awslambda.StartWithOptions(handler) // it ends with the process
}

// start makes the handler of the role that the environment names.
func start(lookup func(string) (string, bool), metrics, log io.Writer) (awslambda.Handler, error) {
	s, err := readSettings(lookup)
	if err != nil {
		return nil, err
	}
	logger, err := telemetry.NewLog(log, s.logFormat, s.logLevel)
	if err != nil {
		return nil, fmt.Errorf("PILLARBOX_LOG_FORMAT: %w", err)
	}
	open := roles[s.role]
	if open == nil {
		return nil, fmt.Errorf("this binary was built without the role %s: build it with the tag pillarbox_%s, or with none", s.role, s.role)
	}
	tracer, err := xray.Open(s.aws.daemon, xray.Options{Header: invocationTrace, Logger: logger})
	if err != nil {
		logger.Warn("traces lack what the function calls", telemetry.KeyErr, err) // and nothing else does
	}
	handler, err := open(s, output{metrics: metrics, logger: logger, tracer: tracer})
	if err != nil {
		return nil, err
	}
	return tracer.Handler(s.role, handler), nil
}

// invocationTrace is the trace of the invocation that is under way: Lambda's runtime sets it before
// each one, and there is one at a time.
func invocationTrace() string { return os.Getenv("_X_AMZN_TRACE_ID") }

// ownTrace is what messages say of the trace in which they are sent.
func ownTrace() string { return xray.Header(invocationTrace()) }
