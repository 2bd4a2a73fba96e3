package pillarbox

import "strings"

// MaxTracestate is how long a tracestate is handed on, in bytes: W3C Trace Context, section 3.3.1.5,
// asks for at least so much.
const MaxTracestate = 512

// Tracestate is what the sender's tracing systems gave beside Traceparent, from the headers that were
// kept: one text of its lines. It is empty where there was none, or where it is longer than
// MaxTracestate or not made of what a header may hold, because a malformed one must not go on.
func (h Header) Tracestate() string {
	var lines []string
	for _, field := range h {
		if field.Name == "Tracestate" && field.Value != "" {
			lines = append(lines, field.Value)
		}
	}
	state := strings.Join(lines, ",")
	if len(state) > MaxTracestate || strings.ContainsFunc(state, func(r rune) bool { return r < ' ' || r > '~' }) {
		return ""
	}
	return state
}
