package adminclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"pillarbox"
	"pillarbox/internal/protocol"
)

// Poster sends events to the public side. The zero value works. It may be used concurrently.
type Poster struct {
	HTTP *http.Client // nil: http.DefaultClient
}

// Posted is what became of one event that was sent.
type Posted struct {
	Status  int // of the answer; for an item of a batch, what it would be if it were sent alone
	Receipt pillarbox.Receipt
	Err     error    // of an item of a batch that was not accepted
	Items   []Posted // where the URL was the batch path of a source: what became of each item, in order, and no Receipt
}

// Post sends one event. An answer of other than 2xx is a *ProblemError with its status, and carries
// Retry-After for pillarbox.RetryAfter. A server that can't be reached, or an answer that breaks
// off, is ErrUnavailable: the event may then have been accepted or not, except where the error is
// also syscall.ECONNREFUSED.
func (p *Poster) Post(ctx context.Context, url, contentType string, body []byte,
	header http.Header) (Posted, error) {
	status, text, err := p.send(ctx, url, contentType, body, header)
	if err != nil {
		return Posted{Status: status}, err
	}
	posted := Posted{Status: status}
	if err := json.Unmarshal(text, &posted.Receipt); err == nil && posted.Receipt.RequestID != "" {
		return posted, nil
	}
	posted.Receipt = pillarbox.Receipt{}
	if posted.Items, err = itemsOf(status, text); err != nil || len(posted.Items) == 0 {
		return Posted{Status: status}, fmt.Errorf(
			"the answer of %s is no receipt; is it a pillarbox server, and the path of a source?", url)
	}
	return posted, nil
}

// PostBatch sends NDJSON to the batch path of a source and returns what became of each item, in
// order. Its errors are those of Post; a batch of which nothing was accepted is one.
func (p *Poster) PostBatch(ctx context.Context, url string, body []byte,
	header http.Header) ([]Posted, error) {
	status, text, err := p.send(ctx, url, protocol.TypeNDJSON, body, header)
	if err != nil {
		return nil, err
	}
	posted, err := itemsOf(status, text)
	if err != nil {
		return posted, fmt.Errorf("the answer of %s is no list of receipts: %w", url, err)
	}
	return posted, nil
}

// itemResult is a receipt or a rejection.
type itemResult struct {
	pillarbox.Receipt
	Code   int    `json:"code"`
	Detail string `json:"detail"`
}

// itemsOf reads the answer to a batch: a result a line, or an array of results.
func itemsOf(status int, text []byte) ([]Posted, error) {
	var posted []Posted
	for decoder := json.NewDecoder(bytes.NewReader(text)); decoder.More(); {
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return posted, err
		}
		if value[0] != '[' {
			value = slices.Concat([]byte("["), value, []byte("]"))
		}
		var results []itemResult
		if err := json.Unmarshal(value, &results); err != nil {
			return posted, err
		}
		for _, result := range results {
			switch {
			case result.Status == protocol.StatusRejected:
				problem := protocol.Problem{Status: result.Code, Title: http.StatusText(result.Code),
					Detail: result.Detail}
				posted = append(posted, Posted{Status: result.Code, Err: &ProblemError{Problem: problem}})
			case result.RequestID == "":
				return posted, errors.New("an item has no request id")
			default:
				posted = append(posted, Posted{Status: status, Receipt: result.Receipt})
			}
		}
	}
	return posted, nil
}

// send returns the body of an answer of 2xx.
func (p *Poster) send(ctx context.Context, url, contentType string, body []byte,
	header http.Header) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, protocol.Invalid("url %q: %v", url, err)
	}
	if header != nil {
		request.Header = header.Clone()
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	client := p.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return 0, nil, err
		}
		if err := untrusted(url, err); err != nil {
			return 0, nil, err
		}
		return 0, nil, fmt.Errorf("no server answers at %s (%w): %w", url, innermost(err),
			pillarbox.ErrUnavailable)
	}
	if response.StatusCode/100 != 2 {
		return response.StatusCode, nil, readProblem(response)
	}
	text, err := readAnswer(response)
	if err != nil {
		return response.StatusCode, nil, fmt.Errorf("read the receipt of %s (%w): %w", url, err,
			pillarbox.ErrUnavailable)
	}
	return response.StatusCode, text, nil
}
