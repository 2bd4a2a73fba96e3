package posting_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/ledger"
	"pillarbox/internal/posting"
)

// asked remembers what it was asked, and has lost every event whose id begins with "lost".
type asked struct {
	t       *testing.T
	batches []int
	err     error
}

func (a *asked) Receipts(_ context.Context,
	receipts []adminapi.ReceiptKey) (*ledger.ReceiptCheck, error) {
	text, err := json.Marshal(adminapi.ReceiptRequest{Receipts: receipts})
	if err != nil || len(text) > adminapi.MaxReplayBytes || len(receipts) > ledger.MaxReceipts {
		a.t.Errorf("%d receipts of %d bytes are asked for at once, %v", len(receipts), len(text), err)
	}
	a.batches = append(a.batches, len(receipts))
	check := &ledger.ReceiptCheck{Checked: uint64(len(receipts))}
	for _, r := range receipts {
		if !strings.HasPrefix(r.RequestID, "lost") {
			check.Stored++
			continue
		}
		check.Lost++
		check.Missing = append(check.Missing, ledger.Missing{RequestID: r.RequestID,
			Timestamp: r.Timestamp, Why: "nowhere"})
	}
	return check, a.err
}

// linesOf writes n lines into a pipe, so that they are nowhere as a whole.
func linesOf(n int, line func(i int) string) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		for i := range n {
			if _, err := io.WriteString(writer, line(i)); err != nil {
				return
			}
		}
		_ = writer.Close()
	}()
	return reader
}

func receiptLine(id string) string {
	return fmt.Sprintf(`{"request_id":%q,"timestamp":"2026-11-23T14:12:00.123456Z","status":"accepted"}`+"\n", id)
}

// TestReceiptsAreComparedInBatches, each within the limits of the API, and what is lost is named
// with its line, up to a limit.
func TestReceiptsAreComparedInBatches(t *testing.T) {
	const n = 3*ledger.MaxReceipts + 7
	server := &asked{t: t}
	c, err := posting.Compare(t.Context(), server, linesOf(n, func(i int) string {
		if i%2 == 1 {
			return receiptLine(fmt.Sprint("lost-", i))
		}
		return receiptLine(fmt.Sprint("id-", i))
	}))
	if err != nil || c.Checked != n || c.Lost != n/2 || c.Stored != n-n/2 || c.Right() ||
		len(server.batches) != 4 {
		t.Fatalf("%+v of %v, %v", c.ReceiptCheck, server.batches, err)
	}
	if len(c.Missing) != posting.MaxNamedLines {
		t.Errorf("%d are named", len(c.Missing))
	}
	for i, missing := range c.Missing {
		if missing.Line != 2*i+2 || missing.RequestID != fmt.Sprint("lost-", 2*i+1) {
			t.Fatalf("number %d is %+v", i, missing)
		}
	}
	server = &asked{t: t}
	long := strings.Repeat("é", adminapi.MaxReceiptID/2)
	c, err = posting.Compare(t.Context(), server, linesOf(ledger.MaxReceipts,
		func(int) string { return receiptLine(long) }))
	if err != nil || c.Checked != ledger.MaxReceipts || len(server.batches) < 2 || !c.Right() {
		t.Errorf("long ids: %+v of %v, %v", c, server.batches, err)
	}
}

// TestLinesThatAreNoReceiptsAreNamed with their number and why, and keep no other from being
// compared.
func TestLinesThatAreNoReceiptsAreNamed(t *testing.T) {
	text := receiptLine("a") + "no json\n\n  \n" + `{"timestamp":"2026-11-23T14:12:00.123456Z"}` + "\n" +
		`{"request_id":"b"}` + "\n" + receiptLine("lost") +
		receiptLine(strings.Repeat("x", adminapi.MaxReceiptID+1)) +
		strings.Repeat("y", 3*posting.MaxReceiptLine) + "\n" + `{"request_id":"c","timestamp":"today"}` + "\n" +
		receiptLine("d") + `{"request_id":"e","timest`
	c, err := posting.Compare(t.Context(), &asked{t: t}, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if c.Checked != 3 || c.Stored != 2 || c.Lost != 1 || c.Missing[0].Line != 7 || c.Right() {
		t.Errorf("%+v", c)
	}
	want := map[int]string{2: "invalid character", 5: "no request_id", 6: "no timestamp",
		8: "request_id has 513 bytes", 9: "more than 65536 bytes", 10: "today", 12: "unexpected end"}
	if int(c.Wrong) != len(want) || len(c.WrongLines) != len(want) {
		t.Errorf("%d lines are wrong: %+v", c.Wrong, c.WrongLines)
	}
	for _, wrong := range c.WrongLines {
		if part := want[wrong.Line]; part == "" || !strings.Contains(wrong.Error, part) {
			t.Errorf("line %d: %s, want %q", wrong.Line, wrong.Error, part)
		}
	}
	c, err = posting.Compare(t.Context(), &asked{t: t}, linesOf(posting.MaxNamedLines+5,
		func(int) string { return "no\n" }))
	if err != nil || c.Wrong != posting.MaxNamedLines+5 || len(c.WrongLines) != posting.MaxNamedLines {
		t.Errorf("%d wrong, %d named, %v", c.Wrong, len(c.WrongLines), err)
	}
}

// TestCompareTellsWhatItCouldNotDo.
func TestCompareTellsWhatItCouldNotDo(t *testing.T) {
	gone := errors.New("gone")
	if _, err := posting.Compare(t.Context(), &asked{t: t, err: gone},
		strings.NewReader(receiptLine("a"))); !errors.Is(err, gone) {
		t.Errorf("the server: %v", err)
	}
	reader, writer := io.Pipe()
	_ = writer.CloseWithError(gone)
	if _, err := posting.Compare(t.Context(), &asked{t: t}, reader); !errors.Is(err, gone) {
		t.Errorf("the file: %v", err)
	}
	if c, err := posting.Compare(t.Context(), &asked{t: t},
		strings.NewReader("")); err != nil || !c.Right() || c.Checked != 0 {
		t.Errorf("nothing: %+v, %v", c, err)
	}
}
