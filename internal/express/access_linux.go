package express

import (
	"bytes"
	"time"

	"pillarbox"
	"pillarbox/internal/telemetry"
)

// sight is what the access log says of a request beside its answer. Its texts may point into the
// buffer, which is there until the answers of the turn are written.
type sight struct {
	client, referer, agent string
}

// see remembers a request for the access log, and returns where. 0 is for requests of which nothing is
// known but their connection.
func (l *loop) see(header pillarbox.Header) int {
	if l.opts.Access == nil {
		return 0
	}
	if len(l.sights) == 0 {
		l.sights = append(l.sights, sight{})
	}
	seen := sight{client: l.sourceHead.RemoteAddr}
	for _, field := range header {
		switch field.Name {
		case "Referer":
			seen.referer = field.Value
		case "User-Agent":
			seen.agent = field.Value
		}
	}
	l.sights = append(l.sights, seen)
	return len(l.sights) - 1
}

// logAccess writes the line of one answer.
func (l *loop) logAccess(it *item, answer []byte, status int, requestID string) {
	entry := telemetry.AccessEntry{
		Began: l.start.Add(time.Duration(it.begun)), Took: time.Duration(l.mono - it.begun), Client: it.conn.addr,
		Method: "POST", Proto: "HTTP/1.1", Status: status, RequestID: requestID, TraceID: it.span.TraceID(),
	}
	if it.sight > 0 {
		seen := &l.sights[it.sight]
		entry.Client, entry.Referer, entry.UserAgent = seen.client, seen.referer, seen.agent
	}
	if it.route != nil {
		entry.Path, entry.Source = it.route.Path, it.route.Source.Name
	}
	if _, body, found := bytes.Cut(answer, []byte("\r\n\r\n")); found {
		entry.Bytes = int64(len(body))
	}
	l.opts.Access.Answered(&entry)
}
