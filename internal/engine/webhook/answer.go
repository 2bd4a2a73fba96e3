package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"pillarbox"
)

// verdict is what an answer, or the lack of one, means.
type verdict int

// The verdicts.
const (
	stored     verdict = iota // 2xx
	refused                   // this event, now
	refusedFor                // this event, for good
	gone                      // 410: no event any more
	down                      // the receiver, whatever the event
	broken                    // the receiver, or this event that breaks it: nobody can tell from one answer
	misset                    // our own settings: every request fares alike
	untried                   // not sent
	cancelled                 // by whoever asked for it
)

// outcome is what became of a request.
type outcome struct {
	verdict verdict
	err     error         // nil where stored
	after   time.Duration // for which it is to be left alone; 0 where it has not said
}

// isOutage reports whether an outcome says nothing about the event.
func (o *outcome) isOutage() bool { return o.verdict >= gone }

// wasAnswered reports whether the receiver has decided about the event.
func (o *outcome) wasAnswered() bool { return !o.isOutage() }

// endsWrite reports whether no further request of a Write makes sense.
func (o *outcome) endsWrite() bool {
	return o.verdict == gone || o.verdict == misset || o.verdict == cancelled || o.isOutage() && o.after > 0
}

// failure is the error of a kind by which the delivery goes on.
func (o *outcome) failure() error {
	err := o.err
	switch o.verdict {
	case stored:
		return nil
	case refused:
	case refusedFor:
		err = pillarbox.Permanent(err)
	case gone:
		err = fmt.Errorf("%w: %w: %w", err, pillarbox.ErrGone, pillarbox.ErrUnavailable)
	case cancelled:
	default:
		err = fmt.Errorf("%w: %w", err, pillarbox.ErrUnavailable)
	}
	if o.after > 0 {
		return &pillarbox.RetryAfterError{After: o.after, Err: err}
	}
	return err
}

// permanent are the statuses that will be the same however often the event is sent: it is its bytes
// that are not wanted.
var permanent = map[int]bool{
	http.StatusBadRequest: true, http.StatusNotAcceptable: true, http.StatusLengthRequired: true,
	http.StatusRequestEntityTooLarge: true, http.StatusRequestURITooLong: true,
	http.StatusUnsupportedMediaType: true, http.StatusRequestedRangeNotSatisfiable: true,
	http.StatusExpectationFailed: true, http.StatusUnprocessableEntity: true,
	http.StatusRequestHeaderFieldsTooLarge: true,
}

// verdictOf is what a status means.
//
//	2xx                                        stored
//	3xx                                        outage: redirects are not followed
//	400 406 411 413 414 415 416 417 422 431    refused for good
//	401 403 407                                outage: credentials
//	408 425                                    outage, or this event
//	410                                        the delivery is paused
//	429                                        outage
//	other 4xx                                  refused for now
//	503                                        outage
//	other 5xx                                  outage, or this event
func verdictOf(status int) verdict {
	switch {
	case status >= 200 && status < 300:
		return stored
	case permanent[status]:
		return refusedFor
	case status == http.StatusGone:
		return gone
	case status == http.StatusUnauthorized, status == http.StatusForbidden,
		status == http.StatusProxyAuthRequired, status >= 300 && status < 400:
		return misset
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return down
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= 500:
		return broken
	case status >= 400:
		return refused
	}
	return broken // no status that ends a request
}

// hints say what to do about a status.
var hints = map[int]string{
	http.StatusUnauthorized:      "; the credentials in headers, oauth2 or signing_secrets are not what it wants",
	http.StatusForbidden:         "; the credentials in headers, oauth2 or signing_secrets don't let us in",
	http.StatusProxyAuthRequired: "; the proxy wants other credentials (proxy)",
	http.StatusGone:              "; it wants no more events",
}

// post sends a request, once, and says what became of it within the time.
func (s *Sink) post(ctx context.Context, m message, within time.Duration) outcome {
	request := s.request(m)
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if s.tokens != nil {
		if err := s.tokens.authorize(limited, request); err != nil {
			return outcomeOfToken(ctx, err)
		}
	}
	response, err := s.client.RoundTrip(request.WithContext(limited))
	if err != nil {
		return s.outcomeOfError(ctx, err, within)
	}
	defer response.Body.Close()
	if response.Body != http.NoBody {
		defer time.AfterFunc(drainTime, cancel).Stop()
	}
	result := s.outcomeOf(response)
	if s.tokens != nil && response.StatusCode == http.StatusUnauthorized {
		s.tokens.forget()
	}
	// What is left of the answer is read so that the connection can be used again; what is not read
	// within the bounds costs the connection.
	if response.Body != http.NoBody {
		_, _ = io.CopyN(io.Discard, response.Body, maxDrain)
	}
	if result.isOutage() && result.after > 0 {
		s.keepAway(&result)
	}
	return result
}

// outcomeOf reads an answer.
func (s *Sink) outcomeOf(response *http.Response) outcome {
	status := response.StatusCode
	result := outcome{verdict: verdictOf(status)}
	if result.verdict == stored {
		return result
	}
	what := fmt.Sprintf("%s answered %d", s.to.Host, status)
	if text := http.StatusText(status); text != "" {
		what += " " + text
	}
	what += hints[status]
	if status >= 300 && status < 400 {
		what += redirectHint(response)
	}
	if said := excerpt(response.Body); said != "" {
		what += ": " + said
	}
	result.err = errors.New(what)
	result.after = retryAfter(response.Header.Get("Retry-After"), s.opts.Now())
	if status == http.StatusTooManyRequests && result.after == 0 {
		result.after = tooManyWait
	}
	if result.verdict == refusedFor || result.verdict == gone || result.verdict == misset {
		result.after = 0
	}
	return result
}

func redirectHint(response *http.Response) string {
	at, err := response.Location()
	if err != nil {
		return "; redirects are not followed"
	}
	return "; redirects are not followed, and this one leads to " + printable(at.Host) + ": set url to where it leads"
}

// outcomeOfToken is that of a request that was not sent for want of a token.
func outcomeOfToken(ctx context.Context, err error) outcome {
	if errors.Is(ctx.Err(), context.Canceled) {
		return outcome{verdict: cancelled, err: ctx.Err()}
	}
	return outcome{verdict: misset, err: fmt.Errorf("get a token (oauth2): %s", printable(err.Error()))}
}

// outcomeOfError sorts the error of a request that was not answered. The text of the error may come
// from the other side, and its kind may mean something to whoever delivers: neither is handed on as
// it is.
func (s *Sink) outcomeOfError(ctx context.Context, err error, within time.Duration) outcome {
	var private *privateError
	var certificate *tls.CertificateVerificationError
	var op *net.OpError
	var dns *net.DNSError
	host := s.to.Host
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return outcome{verdict: cancelled, err: ctx.Err()}
	case errors.As(err, &private):
		return outcome{verdict: misset, err: fmt.Errorf("connect to %s: %s", host, private.Error())}
	case errors.As(err, &certificate):
		return outcome{verdict: misset, err: fmt.Errorf("connect to %s: %s; tls.ca names other authorities", host,
			printable(certificate.Error()))}
	case errors.As(err, &dns), errors.As(err, &op) && op.Op != "read" && op.Op != "write":
		return outcome{verdict: down, err: fmt.Errorf("connect to %s: %s", host, printable(err.Error()))}
	case errors.Is(err, context.DeadlineExceeded):
		return outcome{verdict: broken, err: fmt.Errorf("%s has not answered within %s", host, within.Round(time.Millisecond))}
	}
	return outcome{verdict: broken, err: fmt.Errorf("%s: %s", host, printable(err.Error()))}
}

// excerpt is the beginning of an answer as one line of text that is safe to show.
func excerpt(body io.Reader) string {
	head := make([]byte, 2*maxExcerpt)
	n, _ := io.ReadFull(body, head) // what there is of it
	return printable(string(head[:n]))
}

// printable makes one line of any text: at most maxExcerpt bytes, without what a terminal or a reader
// could be deceived by.
func printable(text string) string {
	var out strings.Builder
	space := false
	for _, r := range text {
		switch {
		case r == utf8.RuneError, unicode.IsSpace(r), !unicode.IsPrint(r):
			space = true
			continue
		}
		if out.Len()+utf8.RuneLen(r)+1 > maxExcerpt {
			break
		}
		if space && out.Len() > 0 {
			out.WriteByte(' ')
		}
		space = false
		out.WriteRune(r)
	}
	return out.String()
}

// retryAfter reads the header of that name: seconds, or a date. 0 is none, and what can't be read.
func retryAfter(text string, now time.Time) time.Duration {
	text = strings.TrimSpace(text)
	if text == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(text, 10, 63); err == nil {
		return time.Duration(min(seconds, uint64(MaxRetryAfter/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(text); err == nil {
		return min(max(0, date.Sub(now)), MaxRetryAfter)
	}
	return 0
}
