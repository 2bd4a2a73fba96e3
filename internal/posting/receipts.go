package posting

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"pillarbox"
)

// Receipts keeps receipts, one a line. nil keeps none.
type Receipts struct {
	file *os.File
	out  *bufio.Writer
	err  error // the first of writing
}

// OpenReceipts makes the file; an empty name keeps none.
func OpenReceipts(name string) (*Receipts, error) {
	if name == "" {
		return nil, nil //nolint:nilnil // nil is one that keeps none
	}
	file, err := os.Create(name)
	if err != nil {
		return nil, fmt.Errorf("receipts: %w", err)
	}
	return &Receipts{file: file, out: bufio.NewWriter(file)}, nil
}

// Add keeps receipts. It may not be called concurrently.
func (r *Receipts) Add(receipts []pillarbox.Receipt) {
	for _, receipt := range receipts {
		if r == nil || r.err != nil {
			return
		}
		line, err := json.Marshal(receipt)
		if err == nil {
			_, err = r.out.Write(append(line, '\n'))
		}
		r.err = err
	}
}

// Close returns the first error of all.
func (r *Receipts) Close() error {
	if r == nil {
		return nil
	}
	return errors.Join(r.err, r.out.Flush(), r.file.Close())
}
