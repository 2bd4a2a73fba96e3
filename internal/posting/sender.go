// Package posting sends events to the public listener, one or many, and keeps what came back: who
// was answered, with what, and how soon. It tells what was surely not accepted from what is not
// known. It retries nothing. Compare asks what became of the events that there are receipts of.
package posting

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"pillarbox"
	"pillarbox/internal/adminclient"
	"slices"
	"syscall"
)

// Sender posts bodies to one URL.
type Sender struct {
	URL    string
	Header http.Header
	Poster *adminclient.Poster
}

// Answer is what came back for one body.
type Answer struct {
	adminclient.Posted
	Refusal string // why it was not accepted
	Err     error  // no answer that can be read: unless Unreached, whether it was accepted is unknown
}

// Send posts one body.
func (s *Sender) Send(ctx context.Context, body []byte) Answer {
	posted, err := s.Poster.Post(ctx, s.URL, "", body, s.Header)
	var refused *adminclient.ProblemError
	if errors.As(err, &refused) {
		return Answer{Posted: posted, Refusal: refused.Error()}
	}
	a := Answer{Posted: posted, Err: err}
	if n := a.rejected(); n > 0 {
		first := slices.IndexFunc(a.Items, func(item adminclient.Posted) bool { return item.Err != nil })
		a.Refusal = fmt.Sprintf("%d of %d events of the batch were not accepted; the first is number %d: %v", n, len(a.Items), first+1, a.Items[first].Err)
	}
	return a
}

// rejected counts the items of a batch that were not accepted.
func (a Answer) rejected() (n int) {
	for _, item := range a.Items {
		if item.Err != nil {
			n++
		}
	}
	return n
}

// Accepted reports that all of it was accepted.
func (a Answer) Accepted() bool {
	return a.Err == nil && a.Refusal == "" &&
		(a.Status == http.StatusAccepted || a.Status == http.StatusCreated || len(a.Items) > 0)
}

// Unreached reports that nobody listened: then nothing was accepted, for sure.
func (a Answer) Unreached() bool { return errors.Is(a.Err, syscall.ECONNREFUSED) }

// Receipts are those of what was accepted.
func (a Answer) Receipts() []pillarbox.Receipt {
	if len(a.Items) == 0 && a.Accepted() {
		return []pillarbox.Receipt{a.Receipt}
	}
	var receipts []pillarbox.Receipt
	for _, item := range a.Items {
		if item.Err == nil {
			receipts = append(receipts, item.Receipt)
		}
	}
	return receipts
}
