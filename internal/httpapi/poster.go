package httpapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

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
	Err     error // of an item of a batch that was not accepted
}

// Post sends one event. An answer of other than 2xx is a *ProblemError with its status, and carries Retry-After
// for pillarbox.RetryAfter. A server that can't be reached, or an answer that breaks off, is ErrUnavailable:
// the event may then have been accepted or not.
func (p *Poster) Post(ctx context.Context, url, contentType string, body []byte, header http.Header) (Posted, error) {
	status, text, err := p.send(ctx, url, contentType, body, header)
	if err != nil {
		return Posted{Status: status}, err
	}
	posted := Posted{Status: status}
	if err := json.Unmarshal(text, &posted.Receipt); err != nil || posted.Receipt.RequestID == "" {
		return posted, fmt.Errorf("the answer of %s is no receipt; is it a pillarbox server, and the path of a source?", url)
	}
	return posted, nil
}

// PostBatch sends NDJSON to the batch path of a source and returns what became of each item, in order. Its
// errors are those of Post; a batch of which nothing was accepted is one.
func (p *Poster) PostBatch(ctx context.Context, url string, body []byte, header http.Header) ([]Posted, error) {
	status, text, err := p.send(ctx, url, typeNDJSON, body, header)
	if err != nil {
		return nil, err
	}
	var posted []Posted
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var line struct {
			pillarbox.Receipt
			Code   int    `json:"code"`
			Detail string `json:"detail"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return posted, fmt.Errorf("the answer of %s is no list of receipts: %w", url, err)
		}
		if line.Status != statusRejected {
			posted = append(posted, Posted{Status: status, Receipt: line.Receipt})
			continue
		}
		problem := protocol.Problem{Status: line.Code, Title: http.StatusText(line.Code), Detail: line.Detail}
		posted = append(posted, Posted{Status: line.Code, Err: &ProblemError{Problem: problem}})
	}
	return posted, nil
}

// send returns the body of an answer of 2xx.
func (p *Poster) send(ctx context.Context, url, contentType string, body []byte, header http.Header) (int, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, invalid("url %q: %v", url, err)
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
		return 0, nil, fmt.Errorf("no server answers at %s (%w): %w", url, innermost(err), pillarbox.ErrUnavailable)
	}
	if response.StatusCode/100 != 2 {
		return response.StatusCode, nil, readProblem(response)
	}
	text, err := readAnswer(response)
	if err != nil {
		return response.StatusCode, nil, fmt.Errorf("read the receipt of %s (%w): %w", url, err, pillarbox.ErrUnavailable)
	}
	return response.StatusCode, text, nil
}
