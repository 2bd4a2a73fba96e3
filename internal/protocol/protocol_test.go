package protocol_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/protocol"
)

// TestEveryKindHasItsStatus: our own fault is a 5xx, and what may be tried again says when.
func TestEveryKindHasItsStatus(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int // in public
		after  string
	}{
		{fmt.Errorf("a: %w", pillarbox.ErrTooLarge), 413, ""},
		{pillarbox.ErrNoSpace, 507, "5"},
		{&pillarbox.RetryAfterError{After: 1500 * time.Millisecond, Err: pillarbox.ErrFull}, 503, "2"},
		{pillarbox.ErrUnavailable, 503, "5"},
		{pillarbox.ErrClosed, 503, "5"},
		{context.DeadlineExceeded, 503, "5"},
		{context.Canceled, 503, "5"},
		{pillarbox.ErrNotFound, 404, ""},
		{pillarbox.ErrInvalid, 400, ""},
		{pillarbox.ErrConflict, 500, ""}, // nothing in public conflicts
		{pillarbox.ErrCorrupt, 500, ""},
		{errors.New("secret"), 500, ""},
		{protocol.Hide(pillarbox.ErrNotFound), 500, ""},
		{fmt.Errorf("open segment: %w, %w",
			&fs.PathError{Op: "open", Path: "/private/x",
				Err: syscall.EMFILE}, pillarbox.ErrUnavailable), 503, "5"},
		{fmt.Errorf("open segment: %w, %w",
			&fs.PathError{Op: "open", Path: "/private/x",
				Err: syscall.EMFILE}, pillarbox.ErrFull), 503, "5"},
		{fmt.Errorf("segment /private/x is broken: %w", pillarbox.ErrUnavailable), 503, "5"},
		{fmt.Errorf("write /private/x: %w", pillarbox.ErrNoSpace), 507, "5"},
		{protocol.TooLarge(1, "limit"), 413, ""},
		{protocol.NotAllowed("PUT", "GET"), 405, ""},
		{&protocol.Error{Status: 401, Challenge: "Signature"}, 401, ""},
		{&protocol.Error{Status: 402}, 500, ""},
	} {
		status, shown := protocol.Refusal(c.err)
		problem := protocol.ProblemOf(shown)
		header, body := problem.Answer(shown)
		var read protocol.Problem
		if err := json.Unmarshal(body, &read); err != nil || read != problem ||
			header.Get("Content-Type") != protocol.TypeProblem {
			t.Errorf("%v is answered with %s", c.err, body)
		}
		if status != c.status || problem.Status != c.status ||
			problem.Title != http.StatusText(c.status) || header.Get("Retry-After") != c.after {
			t.Errorf("%v is answered with %d, Retry-After %q: %s", c.err, status, header.Get("Retry-After"),
				body)
		}
		if status == 500 && strings.Contains(string(body), "secret") {
			t.Errorf("the answer tells of our own fault: %s", body)
		}
		if strings.Contains(string(body), "/private") {
			t.Errorf("the answer tells of the inside: %s", body)
		}
		if !slices.Contains(protocol.PublicErrors(), status) {
			t.Errorf("%d is not public", status)
		}
	}
	if protocol.KindOf(413) != pillarbox.ErrTooLarge ||
		protocol.KindOf(409) != pillarbox.ErrConflict || protocol.KindOf(418) != nil {
		t.Error("the way back from a status is wrong")
	}
	header, _ := protocol.ProblemOf(protocol.NotAllowed("PUT", "GET, POST")).Answer(
		protocol.NotAllowed("PUT", "GET, POST"))
	if header.Get("Allow") != "GET, POST" {
		t.Errorf("405 allows %q", header.Get("Allow"))
	}
}

func TestReceiptIsItsJSON(t *testing.T) {
	receipt := pillarbox.Receipt{RequestID: "JKJaXmPLvHcESHA=", Timestamp: 1,
		Status: pillarbox.StateAccepted}
	want, err := json.Marshal(receipt)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := protocol.AppendReceipt(nil, receipt); err != nil || string(got) != string(want) {
		t.Errorf("got %s, %v; want %s", got, err, want)
	}
}
