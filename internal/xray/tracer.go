package xray

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pillarbox/internal/telemetry"
)

// The bounds of what is sent.
const (
	// MaxCalls is how many calls of one invocation become subsegments. What is beyond is counted in
	// the annotation untraced_calls, because a trace has 500 KB at most.
	MaxCalls = 100
	// MaxAnnotationBytes is how much of the value of an annotation is kept (X-Ray takes 1,000
	// characters).
	MaxAnnotationBytes = 1000
	// sendTimeout bounds one send to the daemon, which is on the same machine.
	sendTimeout = 20 * time.Millisecond
)

// documentHeader stands before each document that the daemon gets.
const documentHeader = `{"format":"json","version":1}` + "\n"

// Options are what a Tracer needs. Zero means the default.
type Options struct {
	Header func() string    // the trace of the invocation, as Lambda sets it; required
	Now    func() time.Time // default time.Now
	ID     func() uint64    // of a subsegment, not 0; default at random
	Logger *slog.Logger     // default: discard
}

// Tracer sends subsegments. All its methods may be called concurrently, and on nil, where they do
// nothing.
type Tracer struct {
	daemon  net.Conn
	options Options
	current atomic.Pointer[invocation] // nil between invocations, and where it is not sampled
	failed  sync.Once                  // the first failure is told
}

// Open prepares to send to the daemon at the address that AWS_XRAY_DAEMON_ADDRESS has: HOST:PORT,
// or "tcp:HOST:PORT udp:HOST:PORT". An empty address makes a nil Tracer. It sends nothing.
func Open(address string, options Options) (*Tracer, error) {
	if address == "" {
		return nil, nil
	}
	udp := address
	for part := range strings.FieldsSeq(address) {
		if of, ok := strings.CutPrefix(part, "udp:"); ok {
			udp = of
		}
	}
	daemon, err := net.Dial("udp", udp)
	if err != nil {
		return nil, fmt.Errorf("reach the daemon of X-Ray: %w", err)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.ID == nil {
		options.ID = func() uint64 { return rand.Uint64() | 1 }
	}
	options.Logger = cmp.Or(options.Logger, slog.New(slog.DiscardHandler))
	return &Tracer{daemon: daemon, options: options}, nil
}

// document is a subsegment as X-Ray reads it.
type document struct {
	Name        string            `json:"name"`
	ID          string            `json:"id"`
	TraceID     string            `json:"trace_id"`
	ParentID    string            `json:"parent_id"`
	Type        string            `json:"type"`
	Namespace   string            `json:"namespace,omitempty"`
	Start       float64           `json:"start_time"` // seconds since 1970
	End         float64           `json:"end_time"`
	Error       bool              `json:"error,omitempty"`    // the caller's: 4XX
	Throttle    bool              `json:"throttle,omitempty"` // too many requests
	Fault       bool              `json:"fault,omitempty"`    // the server's, or nobody answered
	Cause       *cause            `json:"cause,omitempty"`
	HTTP        *exchange         `json:"http,omitempty"`
	AWS         map[string]any    `json:"aws,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type cause struct {
	Exceptions []exception `json:"exceptions"`
}

// exception has no message: nobody knows what is in one.
type exception struct {
	ID   string `json:"id"`
	Type string `json:"type"`
}

type exchange struct {
	Response struct {
		Status int `json:"status"`
	} `json:"response"`
}

// invocation is one that is under way and sampled.
type invocation struct {
	document
	mu       sync.Mutex // guards the fields below, and the annotations
	calls    int
	untraced int
}

// Handler is what Lambda calls.
type Handler interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// Handler returns one that calls next, in a subsegment of that name where the trace is sampled.
func (t *Tracer) Handler(name string, next Handler) Handler {
	if t == nil {
		return next
	}
	return &traced{tracer: t, name: name, next: next}
}

type traced struct {
	tracer *Tracer
	name   string
	next   Handler
}

// Invoke implements Handler.
func (h *traced) Invoke(ctx context.Context, payload []byte) (answer []byte, err error) {
	t := h.tracer
	of, ok := readTrace(t.options.Header())
	if !ok || !of.sampled {
		return h.next.Invoke(ctx, payload)
	}
	i := &invocation{document: t.begin(h.name, of.root, of.parent)}
	i.Annotations = map[string]string{}
	t.current.Store(i)
	failed := true // by a panic
	defer func() {
		t.current.Store(nil)
		i.mu.Lock()
		defer i.mu.Unlock()
		i.Fault = failed
		if i.untraced > 0 {
			i.Annotations["untraced_calls"] = fmt.Sprint(i.untraced)
		}
		t.end(&i.document)
	}()
	answer, err = h.next.Invoke(context.WithValue(ctx, invocationKey{}, i), payload)
	failed = err != nil
	return answer, err
}

type invocationKey struct{}

// Annotate says something of the invocation by which its trace can be found. key has letters,
// digits and underscores. Without a trace, or a value, it does nothing.
func Annotate(ctx context.Context, key, value string) {
	i, _ := ctx.Value(invocationKey{}).(*invocation)
	if i == nil || value == "" {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.Annotations[key] = strings.ToValidUTF8(value[:min(len(value), MaxAnnotationBytes)], "")
}

// call reports whether one more call becomes a subsegment.
func (i *invocation) call() bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.calls == MaxCalls {
		i.untraced++
		return false
	}
	i.calls++
	return true
}

func (t *Tracer) begin(name, root, parent string) document {
	return document{Name: name, ID: t.id(), TraceID: root, ParentID: parent, Type: "subsegment",
		Start: seconds(t.options.Now())}
}

func (t *Tracer) id() string { return fmt.Sprintf("%016x", t.options.ID()) }

func seconds(at time.Time) float64 { return float64(at.UnixMicro()) / 1e6 }

// end sends the document. What does not get there is told once, and missing in a trace.
func (t *Tracer) end(d *document) {
	d.End = seconds(t.options.Now())
	text, err := json.Marshal(d)
	if err == nil {
		err = t.daemon.SetWriteDeadline(time.Now().Add(sendTimeout))
	}
	if err == nil {
		_, err = t.daemon.Write(append([]byte(documentHeader), text...))
	}
	if err != nil {
		t.failed.Do(func() {
			t.options.Logger.Warn("traces lack what the daemon of X-Ray did not take",
				telemetry.KeyErr, err)
		})
	}
}
