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

// OpenReceipts opens the file, or makes it, and adds to what is there: receipts are what a client has
// to show. A last line that was cut off is ended. An empty name keeps none.
func OpenReceipts(name string) (*Receipts, error) {
	if name == "" {
		return nil, nil //nolint:nilnil // nil is one that keeps none
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("receipts: %w", err)
	}
	receipts := &Receipts{file: file, out: bufio.NewWriter(file)}
	if !endsALine(file) {
		receipts.err = receipts.out.WriteByte('\n')
	}
	return receipts, nil
}

// endsALine reports whether nothing is before what is added, or a whole line. What can't be read, as
// a pipe, has none.
func endsALine(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return true
	}
	last := make([]byte, 1)
	_, err = file.ReadAt(last, info.Size()-1)
	return err != nil || last[0] == '\n'
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
