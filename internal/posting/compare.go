package posting

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"pillarbox"
	"pillarbox/internal/adminapi"
	"pillarbox/internal/ledger"
)

// Limits of a comparison.
const (
	// MaxReceiptLine bounds one line of receipts, in bytes. A receipt of pillarbox has some 110.
	MaxReceiptLine = 64 << 10
	// MaxNamedLines is how many missing events, and how many wrong lines, are named; all are counted.
	MaxNamedLines = ledger.MaxNamed
	// maxBatchBytes bounds the JSON of one request, below adminapi.MaxReplayBytes.
	maxBatchBytes = adminapi.MaxReplayBytes * 9 / 10
)

// Comparison says where the events are that clients have receipts of.
type Comparison struct {
	ledger.ReceiptCheck
	Missing    []MissingReceipt `json:"missing"`     // what is lost by name, at most MaxNamedLines
	Wrong      uint64           `json:"wrong"`       // lines that are no receipts
	WrongLines []WrongLine      `json:"wrong_lines"` // these, at most MaxNamedLines
}

// MissingReceipt is a receipt whose event is nowhere.
type MissingReceipt struct {
	Line int `json:"line"` // from 1
	ledger.Missing
}

// WrongLine is a line that is no receipt.
type WrongLine struct {
	Line  int    `json:"line"` // from 1
	Error string `json:"error"`
}

// Right reports that every line is the receipt of an event that is somewhere.
func (c *Comparison) Right() bool { return c.Lost == 0 && c.Wrong == 0 }

// Asks says where the events of receipts are, as *adminclient.Client does.
type Asks interface {
	Receipts(ctx context.Context, receipts []adminapi.ReceiptKey) (*ledger.ReceiptCheck, error)
}

// Compare reads receipts, one JSON object a line as Receipts writes them, and asks where their
// events are. It holds one batch of receipts at a time, however many there are. What is no receipt
// is counted and named, and does not keep the others from being compared. Errors: those of reading
// and of asking.
func Compare(ctx context.Context, client Asks, from io.Reader) (*Comparison, error) {
	c := &comparer{client: client, result: &Comparison{Missing: []MissingReceipt{},
		WrongLines: []WrongLine{}}}
	lines := bufio.NewReaderSize(from, MaxReceiptLine)
	for number := 1; ; number++ {
		text, err := readLine(lines)
		if len(bytes.TrimSpace(text)) > 0 || errors.Is(err, errLongLine) {
			if err := c.line(ctx, number, text, err); err != nil {
				return nil, err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return c.result, c.flush(ctx)
		case err != nil && !errors.Is(err, errLongLine):
			return nil, fmt.Errorf("read receipts: %w", err)
		}
	}
}

var errLongLine = fmt.Errorf("it has more than %d bytes", MaxReceiptLine)

// readLine reads a line. One that is too long is passed over.
func readLine(lines *bufio.Reader) ([]byte, error) {
	text, err := lines.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		return text, err
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = lines.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return nil, errLongLine // at the end of the file, the next line is the end
}

// comparer gathers receipts until a batch of them is full.
type comparer struct {
	client Asks
	result *Comparison
	batch  []adminapi.ReceiptKey
	lines  []int // of the batch
	bytes  int   // of its JSON
}

// line takes one line, which could not be read as a whole where tooLong is set.
func (c *comparer) line(ctx context.Context, number int, text []byte, tooLong error) error {
	var receipt pillarbox.Receipt
	var key adminapi.ReceiptKey
	err := tooLong
	if !errors.Is(err, errLongLine) {
		if err = json.Unmarshal(text, &receipt); err == nil {
			key = adminapi.ReceiptKey{RequestID: receipt.RequestID, Timestamp: receipt.Timestamp}
			err = key.Check()
		}
	}
	if err != nil {
		if c.result.Wrong++; len(c.result.WrongLines) < MaxNamedLines {
			c.result.WrongLines = append(c.result.WrongLines, WrongLine{Line: number, Error: err.Error()})
		}
		return nil
	}
	size, err := json.Marshal(key)
	if err != nil {
		return err
	}
	if len(c.batch) == ledger.MaxReceipts || c.bytes+len(size)+1 > maxBatchBytes {
		if err := c.flush(ctx); err != nil {
			return err
		}
	}
	c.batch, c.lines, c.bytes = append(c.batch, key), append(c.lines, number), c.bytes+len(size)+1
	return nil
}

// flush asks about the batch. What is missing is told in the order of the batch.
func (c *comparer) flush(ctx context.Context) error {
	if len(c.batch) == 0 {
		return nil
	}
	check, err := c.client.Receipts(ctx, c.batch)
	if err != nil {
		return err
	}
	c.result.Add(check)
	at := 0
	for _, missing := range check.Missing {
		if len(c.result.Missing) == MaxNamedLines {
			break
		}
		for at < len(c.batch)-1 && c.batch[at] != keyOf(missing) {
			at++
		}
		c.result.Missing = append(c.result.Missing, MissingReceipt{Line: c.lines[at], Missing: missing})
		at = min(at+1, len(c.batch)-1)
	}
	c.batch, c.lines, c.bytes = c.batch[:0], c.lines[:0], 0
	return nil
}

func keyOf(missing ledger.Missing) adminapi.ReceiptKey {
	return adminapi.ReceiptKey{RequestID: missing.RequestID, Timestamp: missing.Timestamp}
}
