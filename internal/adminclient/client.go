package adminclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/backfill"
	"pillarbox/internal/causes"
	"pillarbox/internal/held"
	"pillarbox/internal/ledger"
	"pillarbox/internal/openapi"
	"pillarbox/internal/protocol"
	"pillarbox/internal/purge"
	"pillarbox/internal/replay"
	"pillarbox/internal/socket"
	"pillarbox/internal/trail"
)

// MaxAnswerBytes bounds what a client reads of one answer.
const MaxAnswerBytes = 256 << 20

// Options of a Client. The zero value works.
type Options struct {
	Token string       // of the admin listener, where it asks for one
	HTTP  *http.Client // nil: one without timeouts; the context ends calls
}

// Client calls the admin API. Errors that the server answers are *ProblemError and match the root
// kinds; a server that can't be reached is ErrUnavailable. All methods may be called concurrently.
type Client struct {
	base string // of the addresses of requests
	name string // that a person knows the server by
	opts Options
}

// New makes a client for the server at base, such as http://127.0.0.1:8081, 127.0.0.1:8081 or
// unix:/run/pillarbox/admin.sock.
func New(base string, opts Options) (*Client, error) {
	if path, known := socket.Path(base); known {
		return newOverSocket(path, opts)
	}
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	parsed, err := url.Parse(base)
	switch {
	case err != nil:
		return nil, protocol.Invalid("server %q: %v", base, err)
	case parsed.Scheme != "http" && parsed.Scheme != "https", parsed.Host == "", parsed.RawQuery != "", parsed.User != nil:
		return nil, protocol.Invalid("server %q: want http://host:port", parsed.Redacted())
	}
	if opts.HTTP == nil {
		opts.HTTP = &http.Client{}
	}
	base = strings.TrimRight(parsed.String(), "/")
	return &Client{base: base, name: base, opts: opts}, nil
}

// newOverSocket makes a client whose requests go over the socket at the path.
func newOverSocket(path string, opts Options) (*Client, error) {
	if err := socket.Check(path); err != nil {
		return nil, protocol.Invalid("server %q: %v", socket.Scheme+path, err)
	}
	if opts.HTTP == nil {
		opts.HTTP = &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return socket.Dial(ctx, path)
			},
		}}
	}
	return &Client{base: "http://localhost", name: socket.Scheme + path, opts: opts}, nil
}

// Base returns the address of the server, as New takes it.
func (c *Client) Base() string { return c.name }

// Healthy returns nil if the server lives.
func (c *Client) Healthy(ctx context.Context) error {
	_, err := fetch[protocol.State](ctx, c, "/healthz", nil)
	return err
}

// Ready returns nil if the server accepts, and else why not, as ErrUnavailable.
func (c *Client) Ready(ctx context.Context) error {
	_, err := fetch[protocol.State](ctx, c, "/readyz", nil)
	return err
}

// Status returns how the server is.
func (c *Client) Status(ctx context.Context) (*adminapi.Status, error) {
	return fetch[adminapi.Status](ctx, c, "/api/v1/status", nil)
}

// Events returns a page of events. It may have fewer than Limit; NextCursor says whether more
// follow.
func (c *Client) Events(ctx context.Context, q adminapi.EventQuery) (*adminapi.EventPage, error) {
	return fetch[adminapi.EventPage](ctx, c, "/api/v1/events", eventValues(q))
}

// Story returns all that is known of one event.
func (c *Client) Story(ctx context.Context, requestID string) (*adminapi.Trace, error) {
	return fetch[adminapi.Trace](ctx, c, "/api/v1/events/"+url.PathEscape(requestID), nil)
}

// DeadLetters returns a page of dead letters. It may have fewer than Limit; NextCursor says whether
// more follow.
func (c *Client) DeadLetters(ctx context.Context,
	q adminapi.DeadLetterQuery) (*adminapi.DeadLetterPage, error) {
	return fetch[adminapi.DeadLetterPage](ctx, c, "/api/v1/dead-letters", letterValues(q))
}

// DeadLetter returns one dead letter. An empty destination means the only one that has a letter of
// this event.
func (c *Client) DeadLetter(ctx context.Context, destination,
	requestID string) (*pillarbox.DeadLetter, error) {
	return fetch[pillarbox.DeadLetter](ctx, c, "/api/v1/dead-letters/"+url.PathEscape(requestID),
		pairs("destination", destination))
}

// Discard gives a dead letter up and returns it. One that is resolved already is ErrConflict.
func (c *Client) Discard(ctx context.Context, destination,
	requestID string) (*pillarbox.DeadLetter, error) {
	path := "/api/v1/dead-letters/" + url.PathEscape(requestID) + "/discard"
	return answered[pillarbox.DeadLetter](
		c.call(ctx, http.MethodPost, path, pairs("destination", destination), nil))
}

// StartReplay begins a replay, or does the whole of a dry run. While another one runs it is
// ErrConflict.
func (c *Client) StartReplay(ctx context.Context,
	request adminapi.ReplayRequest) (*replay.Progress, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode the request for a replay: %w", err)
	}
	return answered[replay.Progress](c.call(ctx, http.MethodPost, adminapi.ReplaysPath, nil, body))
}

// Replays returns the replays that the server remembers, newest first.
func (c *Client) Replays(ctx context.Context) ([]replay.Progress, error) {
	list, err := fetch[adminapi.ReplayList](ctx, c, adminapi.ReplaysPath, nil)
	if err != nil {
		return nil, err
	}
	return list.Replays, nil
}

// Replay returns the progress of one replay.
func (c *Client) Replay(ctx context.Context, id string) (*replay.Progress, error) {
	return fetch[replay.Progress](ctx, c, adminapi.ReplaysPath+"/"+url.PathEscape(id), nil)
}

// CancelReplay stops a replay and returns after it has stopped.
func (c *Client) CancelReplay(ctx context.Context, id string) (*replay.Progress, error) {
	return answered[replay.Progress](c.call(ctx, http.MethodDelete,
		adminapi.ReplaysPath+"/"+url.PathEscape(id), nil, nil))
}

// StartPurge begins a purge, or does the whole of a dry run. While another one runs it is
// ErrConflict.
func (c *Client) StartPurge(ctx context.Context,
	request adminapi.PurgeRequest) (*purge.Progress, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode the request for a purge: %w", err)
	}
	return answered[purge.Progress](c.call(ctx, http.MethodPost, adminapi.PurgesPath, nil, body))
}

// Purges returns the purges that the server remembers, newest first.
func (c *Client) Purges(ctx context.Context) ([]purge.Progress, error) {
	list, err := fetch[adminapi.PurgeList](ctx, c, adminapi.PurgesPath, nil)
	if err != nil {
		return nil, err
	}
	return list.Purges, nil
}

// Purge returns the progress of one purge.
func (c *Client) Purge(ctx context.Context, id string) (*purge.Progress, error) {
	return fetch[purge.Progress](ctx, c, adminapi.PurgesPath+"/"+url.PathEscape(id), nil)
}

// CancelPurge stops a purge and returns after it has stopped.
func (c *Client) CancelPurge(ctx context.Context, id string) (*purge.Progress, error) {
	return answered[purge.Progress](c.call(ctx, http.MethodDelete,
		adminapi.PurgesPath+"/"+url.PathEscape(id), nil, nil))
}

// StartBackfill begins a back-fill, or does the whole of a dry run. While another job works on the destination it is
// ErrConflict.
func (c *Client) StartBackfill(ctx context.Context,
	request adminapi.BackfillRequest) (*backfill.Progress, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode the request for a back-fill: %w", err)
	}
	return answered[backfill.Progress](c.call(ctx, http.MethodPost, adminapi.BackfillsPath, nil, body))
}

// Backfills returns the back-fills that the server remembers, newest first.
func (c *Client) Backfills(ctx context.Context) ([]backfill.Progress, error) {
	list, err := fetch[adminapi.BackfillList](ctx, c, adminapi.BackfillsPath, nil)
	if err != nil {
		return nil, err
	}
	return list.Backfills, nil
}

// Backfill returns the progress of one backfill.
func (c *Client) Backfill(ctx context.Context, id string) (*backfill.Progress, error) {
	return fetch[backfill.Progress](ctx, c, adminapi.BackfillsPath+"/"+url.PathEscape(id), nil)
}

// CancelBackfill stops a back-fill and returns after it has stopped.
func (c *Client) CancelBackfill(ctx context.Context, id string) (*backfill.Progress, error) {
	return answered[backfill.Progress](c.call(ctx, http.MethodDelete,
		adminapi.BackfillsPath+"/"+url.PathEscape(id), nil, nil))
}

// CreateKey makes an API key. Nobody is told again what the key is.
func (c *Client) CreateKey(ctx context.Context,
	request adminapi.KeyRequest) (*adminapi.NewKey, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode the request for a key: %w", err)
	}
	return answered[adminapi.NewKey](c.call(ctx, http.MethodPost, adminapi.KeysPath, nil, body))
}

// Keys returns all API keys, in the order in which they were made.
func (c *Client) Keys(ctx context.Context) ([]adminapi.Key, error) {
	list, err := fetch[adminapi.KeyList](ctx, c, adminapi.KeysPath, nil)
	if err != nil {
		return nil, err
	}
	return list.Keys, nil
}

// RevokeKey ends an API key for good.
func (c *Client) RevokeKey(ctx context.Context, id string) (*adminapi.Key, error) {
	return answered[adminapi.Key](c.call(ctx, http.MethodDelete,
		adminapi.KeysPath+"/"+url.PathEscape(id), nil, nil))
}

// Trail verifies the trail of administration, and returns the entries behind a number. limit is 0
// for the default.
func (c *Client) Trail(ctx context.Context, after uint64, limit int) (*trail.Page, error) {
	values := url.Values{"after": {strconv.FormatUint(after, 10)}}
	if limit > 0 {
		values.Set("limit", strconv.Itoa(limit))
	}
	return fetch[trail.Page](ctx, c, adminapi.TrailPath, values)
}

// EraseTrail makes an entry of the trail unreadable for good.
func (c *Client) EraseTrail(ctx context.Context, seq uint64) error {
	_, err := c.call(ctx, http.MethodDelete, adminapi.TrailPath+"/"+strconv.FormatUint(seq, 10), nil, nil)
	return err
}

// Quarantine returns a page of requests whose signature fails.
func (c *Client) Quarantine(ctx context.Context, query adminapi.QuarantineQuery) (*adminapi.QuarantinePage, error) {
	values := url.Values{}
	if query.Source != "" {
		values.Set("source", query.Source)
	}
	if query.Cursor != "" {
		values.Set("cursor", query.Cursor)
	}
	if query.Limit > 0 {
		values.Set("limit", strconv.Itoa(query.Limit))
	}
	return fetch[adminapi.QuarantinePage](ctx, c, adminapi.QuarantinePath, values)
}

// Quarantined returns one of them.
func (c *Client) Quarantined(ctx context.Context, id string) (*adminapi.QuarantineEntry, error) {
	return fetch[adminapi.QuarantineEntry](ctx, c, adminapi.QuarantinePath+"/"+url.PathEscape(id), nil)
}

// Release accepts a request that is in quarantine: by force, or if its signature proves it now.
func (c *Client) Release(ctx context.Context, id string, force bool) (*pillarbox.Receipt, error) {
	values := url.Values{}
	if force {
		values.Set("force", "true")
	}
	return answered[pillarbox.Receipt](c.call(ctx, http.MethodPost, adminapi.QuarantinePath+"/"+url.PathEscape(id)+"/release", values, nil))
}

// Pause pauses the delivery to a destination.
func (c *Client) Pause(ctx context.Context, destination, reason string) (*adminapi.Pause, error) {
	body, err := json.Marshal(adminapi.PauseRequest{Reason: reason})
	if err != nil {
		return nil, fmt.Errorf("encode the request for a pause: %w", err)
	}
	return answered[adminapi.Pause](c.call(ctx, http.MethodPost, adminapi.DestinationsPath+"/"+url.PathEscape(destination)+"/pause", nil, body))
}

// Resume lets the delivery to a destination go on.
func (c *Client) Resume(ctx context.Context, destination string) (*adminapi.Pause, error) {
	return answered[adminapi.Pause](c.call(ctx, http.MethodPost, adminapi.DestinationsPath+"/"+url.PathEscape(destination)+"/resume", nil, nil))
}

// DiscardQuarantined deletes a request that is in quarantine, for good.
func (c *Client) DiscardQuarantined(ctx context.Context, id string) error {
	_, err := c.call(ctx, http.MethodPost, adminapi.QuarantinePath+"/"+url.PathEscape(id)+"/discard", nil, nil)
	return err
}

// Ledger returns the account.
func (c *Client) Ledger(ctx context.Context) (*ledger.Totals, error) {
	return fetch[ledger.Totals](ctx, c, "/api/v1/ledger", nil)
}

// Audit checks the account against what is really there. It may take long.
func (c *Client) Audit(ctx context.Context) (*ledger.Audit, error) {
	return fetch[ledger.Audit](ctx, c, "/api/v1/audit", nil)
}

// Receipts says where the events of receipts are. There may be ledger.MaxReceipts of them, and
// adminapi.MaxReplayBytes of their JSON.
func (c *Client) Receipts(ctx context.Context,
	receipts []adminapi.ReceiptKey) (*ledger.ReceiptCheck, error) {
	body, err := json.Marshal(adminapi.ReceiptRequest{Receipts: receipts})
	if err != nil {
		return nil, fmt.Errorf("encode receipts: %w", err)
	}
	return answered[ledger.ReceiptCheck](
		c.call(ctx, http.MethodPost, adminapi.ReceiptsPath, nil, body))
}

// Held returns a page of held events. NextCursor says whether more follow.
func (c *Client) Held(ctx context.Context, q HeldQuery) (*adminapi.HeldPage, error) {
	return fetch[adminapi.HeldPage](ctx, c, adminapi.HeldPath, q.values())
}

// DeadLetterGroups counts open dead letters by destination and cause. Of the query Destination, Source,
// Since, Until and Error count.
func (c *Client) DeadLetterGroups(ctx context.Context, q adminapi.DeadLetterQuery) (*causes.Groups, error) {
	return fetch[causes.Groups](ctx, c, adminapi.GroupsPath, pairs("destination", q.Destination, "source", q.Source,
		"since", q.Since, "until", q.Until, "error", q.Error))
}

// RetryingGroups counts events that wait for another attempt, by destination and cause.
func (c *Client) RetryingGroups(ctx context.Context, destination string) (*causes.Groups, error) {
	return fetch[causes.Groups](ctx, c, adminapi.RetryingPath, pairs("destination", destination))
}

// DiscardMany gives up the dead letters that a request selects.
func (c *Client) DiscardMany(ctx context.Context, request adminapi.DiscardRequest) (*adminapi.Discarded, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode the request to discard: %w", err)
	}
	return answered[adminapi.Discarded](c.call(ctx, http.MethodPost, adminapi.DiscardPath, nil, body))
}

// HeldGroups counts held events by destination and source. It reads all of them.
func (c *Client) HeldGroups(ctx context.Context, q HeldQuery) (*adminapi.HeldGroups, error) {
	q.Cursor, q.Limit = "", 0
	return fetch[adminapi.HeldGroups](ctx, c, adminapi.HeldPath+"/groups", q.values())
}

// Obligations counts what is pending, by what it was meant for. It reads all that is pending.
func (c *Client) Obligations(ctx context.Context) (*adminapi.ObligationList, error) {
	return fetch[adminapi.ObligationList](ctx, c, "/api/v1/obligations", nil)
}

// RouteHeld gives held events to another destination.
func (c *Client) RouteHeld(ctx context.Context,
	request adminapi.HeldRequest) (*held.Result, error) {
	return c.actOnHeld(ctx, "/route", request)
}

// DeadLetterHeld makes dead letters of held events.
func (c *Client) DeadLetterHeld(ctx context.Context,
	request adminapi.HeldRequest) (*held.Result, error) {
	return c.actOnHeld(ctx, "/dead-letter", request)
}

// ForgetHeld gives held events up.
func (c *Client) ForgetHeld(ctx context.Context,
	request adminapi.HeldRequest) (*held.Result, error) {
	return c.actOnHeld(ctx, "/forget", request)
}

func (c *Client) actOnHeld(ctx context.Context, path string,
	request adminapi.HeldRequest) (*held.Result, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("encode the request about held events: %w", err)
	}
	return answered[held.Result](c.call(ctx, http.MethodPost, adminapi.HeldPath+path, nil, body))
}

// HeldQuery selects held events. Since and Until are times of acceptance, RFC 3339 or ago.
type HeldQuery struct {
	Destination string
	Source      string
	RequestID   string
	Since       string // inclusive
	Until       string // exclusive
	Cursor      string
	Limit       int // 0 is pillarbox.DefaultListLimit
}

func (q HeldQuery) values() url.Values {
	return pairs("destination", q.Destination, "source", q.Source, "id", q.RequestID, "since",
		q.Since, "until", q.Until,
		"cursor", q.Cursor, "limit", number(q.Limit))
}

// Redeliver hands out again what an audit names and the queue still has, for one destination, or
// for all.
func (c *Client) Redeliver(ctx context.Context,
	destination string) (*adminapi.RedeliveryList, error) {
	return answered[adminapi.RedeliveryList](
		c.call(ctx, http.MethodPost, adminapi.RedeliverPath, pairs("destination", destination), nil))
}

// Metrics copies the metrics, in the text format of Prometheus, to w.
func (c *Client) Metrics(ctx context.Context, w io.Writer) error {
	return c.copy(ctx, "/metrics", w)
}

// OpenAPI copies the document that describes both listeners to w.
func (c *Client) OpenAPI(ctx context.Context, w io.Writer) error {
	return c.copy(ctx, openapi.Path, w)
}

// pairs makes a query of names and values, without the ones that are empty.
func pairs(namesAndValues ...string) url.Values {
	values := url.Values{}
	for pair := range slices.Chunk(namesAndValues, 2) {
		if pair[1] != "" {
			values.Set(pair[0], pair[1])
		}
	}
	return values
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func eventValues(q adminapi.EventQuery) url.Values {
	order := ""
	if q.Newest {
		order = "desc"
	}
	values := pairs("destination", q.Destination, "source", q.Source, "id", q.RequestID, "since",
		q.Since, "until", q.Until,
		"cursor", q.Cursor, "order", order, "limit", number(q.Limit))
	for i, text := range q.Facts.Texts() {
		if *text != "" {
			values.Set(pillarbox.FactNames()[i], *text)
		}
	}
	for _, a := range q.Facts.Attributes {
		values.Set("attribute."+a.Name, a.Value)
	}
	adminapi.SetContent(values, &q.Content)
	return values
}

func letterValues(q adminapi.DeadLetterQuery) url.Values {
	resolved := ""
	if q.Resolved {
		resolved = "true"
	}
	return pairs("destination", q.Destination, "source", q.Source, "id", q.RequestID, "since",
		q.Since, "until", q.Until,
		"error", q.Error, "cause", q.Cause, "resolved", resolved, "cursor", q.Cursor, "limit", number(q.Limit))
}

func fetch[T any](ctx context.Context, c *Client, path string, query url.Values) (*T, error) {
	return answered[T](c.call(ctx, http.MethodGet, path, query, nil))
}

// answered decodes what call returned.
func answered[T any](text []byte, err error) (*T, error) {
	if err != nil {
		return nil, err
	}
	answer := new(T)
	if err := json.Unmarshal(text, answer); err != nil {
		return nil, fmt.Errorf("read the answer: is it a pillarbox server? %w", err)
	}
	return answer, nil
}

// call makes one request and returns the body of its answer.
func (c *Client) call(ctx context.Context, method, path string, query url.Values,
	body []byte) ([]byte, error) {
	request, err := c.request(ctx, method, path, query, body)
	if err != nil {
		return nil, err
	}
	response, err := c.do(request)
	if err != nil {
		return nil, err
	}
	text, err := readAnswer(response)
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s (%w): %w", c.name, err, pillarbox.ErrUnavailable)
	}
	return text, nil
}

func (c *Client) copy(ctx context.Context, path string, w io.Writer) error {
	request, err := c.request(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	response, err := c.do(request)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, response.Body)
	return errors.Join(err, response.Body.Close())
}

func (c *Client) request(ctx context.Context, method, path string, query url.Values,
	body []byte) (*http.Request, error) {
	address := c.base + path
	if len(query) > 0 {
		address += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, protocol.Invalid("request: %v", err)
	}
	if len(body) > 0 {
		request.Header.Set("Content-Type", protocol.TypeJSON)
	}
	if c.opts.Token != "" {
		request.Header.Set("Authorization", "Bearer "+c.opts.Token)
	}
	return request, nil
}

// do returns an answer of 2xx, whose body is the caller's to close, or an error.
func (c *Client) do(request *http.Request) (*http.Response, error) {
	response, err := c.opts.HTTP.Do(request)
	if err != nil {
		if request.Context().Err() != nil {
			return nil, err
		}
		if err := untrusted(c.name, err); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("no server answers at %s (%w); start one with \"pillarbox serve\", or choose another with --server: %w", c.name, innermost(err), pillarbox.ErrUnavailable)
	}
	if response.StatusCode/100 != 2 {
		return nil, readProblem(response)
	}
	return response, nil
}

// untrusted is an error of a server whose certificate is not trusted; nil for any other one.
func untrusted(server string, err error) error {
	var certificate *tls.CertificateVerificationError
	if !errors.As(err, &certificate) {
		return nil
	}
	return fmt.Errorf("the certificate of %s is not trusted (%w); an authority of your own is named with --ca-file: %w", server, certificate.Err, pillarbox.ErrUnavailable)
}

// innermost leaves out the method and the address, which the message has already.
func innermost(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}

func readAnswer(response *http.Response) ([]byte, error) {
	text, err := io.ReadAll(http.MaxBytesReader(nil, response.Body, MaxAnswerBytes))
	return text, errors.Join(err, response.Body.Close())
}

// ProblemError is an error that a server answered with. It matches the root kind of its status.
type ProblemError struct {
	protocol.Problem
	After time.Duration // how long to stay away; 0 where the server did not say
}

func (e *ProblemError) Error() string {
	if e.Detail == "" {
		return fmt.Sprintf("the server answered %d %s", e.Status, e.Title)
	}
	return e.Detail
}

// Unwrap returns the kind, and the wait if there is one.
func (e *ProblemError) Unwrap() error {
	kind := kindOf(e.Status)
	if e.After > 0 {
		return &pillarbox.RetryAfterError{After: e.After, Err: kind}
	}
	return kind
}

// errRefused is the kind of the statuses that have none: 401, 403, the server's own fault, and what
// a stranger answered.
var errRefused = errors.New("refused")

// kindOf is the way back from a status to a kind.
func kindOf(status int) error {
	switch status {
	case http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity, http.StatusMethodNotAllowed:
		return pillarbox.ErrInvalid
	case http.StatusTooManyRequests, http.StatusRequestTimeout, http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		return pillarbox.ErrUnavailable
	}
	if kind := protocol.KindOf(status); kind != nil {
		return kind
	}
	return errRefused
}

// readProblem makes an error of an answer and closes it. An answer of somebody else is told by its
// status.
func readProblem(response *http.Response) error {
	text, err := readAnswer(response)
	problem := &ProblemError{Problem: protocol.Problem{Status: response.StatusCode,
		Title: http.StatusText(response.StatusCode)}}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		problem.After = time.Duration(seconds) * time.Second
	}
	var read protocol.Problem
	if err == nil && strings.HasPrefix(response.Header.Get("Content-Type"), protocol.TypeProblem) &&
		json.Unmarshal(text, &read) == nil {
		problem.Detail = read.Detail
	}
	// A batch of which nothing was accepted is answered with its results.
	if items, err := itemsOf(response.StatusCode, text); err == nil &&
		response.StatusCode == http.StatusUnprocessableEntity && len(items) > 0 && items[0].Err != nil {
		problem.Detail = fmt.Sprintf("none of the %d items was accepted; the first: %v", len(items),
			items[0].Err)
	}
	return problem
}
