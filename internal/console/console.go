package console

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The forms of output.
const (
	Table = "table"
	JSON  = "json"
	CSV   = "csv"
)

// Form is the form in which a command writes its result.
type Form struct {
	Kind            string // Table, JSON or CSV
	SpreadsheetSafe bool   // CSV in which no cell is a formula, and not all cells are what was sent
}

// Check refuses another form.
func (f Form) Check() error {
	switch f.Kind {
	case Table, JSON, CSV:
	default:
		return fmt.Errorf("-o %s: want table, json or csv", f.Kind)
	}
	if f.SpreadsheetSafe && f.Kind != CSV {
		return fmt.Errorf("--spreadsheet-safe is for -o csv, and this is -o %s", f.Kind)
	}
	return nil
}

// WriteJSON writes a value, indented, and nothing else.
func WriteJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// WriteJSONLine writes a value as JSON in one line.
func WriteJSONLine(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(value)
}

// Rows is a table of text. Its cells may come from clients: Write makes them harmless.
type Rows struct {
	Head []string
	Body [][]string
}

// Add adds a row.
func (r *Rows) Add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = fmt.Sprint(cell)
	}
	r.Body = append(r.Body, row)
}

// dropEmpty drops the column of that name if all its cells are empty.
func (r *Rows) dropEmpty(name string) {
	at := slices.Index(r.Head, name)
	if at < 0 || slices.ContainsFunc(r.Body, func(row []string) bool { return row[at] != "" }) {
		return
	}
	r.Head = slices.Delete(slices.Clone(r.Head), at, at+1)
	for i, row := range r.Body {
		r.Body[i] = slices.Delete(row, at, at+1)
	}
}

// Write writes the rows as a table for people, or as CSV.
func (r *Rows) Write(w io.Writer, form Form) error {
	if form.Kind == CSV {
		if err := writeRecords(w, [][]string{r.Head}); err != nil {
			return err
		}
		return r.WriteBody(w, form)
	}
	return r.writeTable(w)
}

// gap is what is between two columns at least.
const gap = 2

// styled are the columns whose words have a style.
var styled = []string{"state", "balanced", "what"}

// writeTable writes columns that are as wide as they have to be.
func (r *Rows) writeTable(w io.Writer) error {
	if _, paints := w.(Painter); !paints {
		out := bufio.NewWriter(w)
		return errors.Join(r.writeColumns(out), out.Flush())
	}
	return r.writeColumns(w)
}

func (r *Rows) writeColumns(w io.Writer) error {
	table := append([][]string{r.Head}, r.Body...)
	widths := make([]int, len(r.Head))
	for n, row := range table {
		table[n] = make([]string, len(row))
		for i, cell := range row {
			table[n][i] = Printable(cell)
			widths[i] = max(widths[i], utf8.RuneCountInString(table[n][i]))
		}
	}
	for n, row := range table {
		for i, cell := range row {
			style, text, after := Plain, cell, "\n"
			switch {
			case n == 0:
				style, text = Strong, strings.ToUpper(cell)
			case slices.Contains(styled, r.Head[i]):
				style = styleOf(cell)
			}
			if i < len(row)-1 {
				after = strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap)
			}
			if err := errors.Join(style.Write(w, text), Plain.Write(w, after)); err != nil {
				return err
			}
		}
	}
	return nil
}

// WriteBody writes the rows without their head as CSV: the bytes of each cell as they are, unless
// the form is safe for a spreadsheet.
func (r *Rows) WriteBody(w io.Writer, form Form) error {
	records := r.Body
	if form.SpreadsheetSafe {
		records = make([][]string, len(r.Body))
		for i, row := range r.Body {
			records[i] = safeCells(row)
		}
	}
	return writeRecords(w, records)
}

func writeRecords(w io.Writer, records [][]string) error {
	out := csv.NewWriter(w)
	if err := out.WriteAll(records); err != nil { // it flushes
		return err
	}
	return out.Error()
}

// formulaStarts are the characters by which a spreadsheet takes a cell for a formula, those of full
// width included, and those that it skips before it looks.
const formulaStarts = "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"

// safeCells keeps a spreadsheet from taking text of a client for a formula, which could send what
// else is in the sheet somewhere ("formula injection"). It changes cells: numbers below 0 as well.
func safeCells(row []string) []string {
	safe := make([]string, len(row))
	for i, cell := range row {
		if first, _ := utf8.DecodeRuneInString(cell); cell != "" &&
			strings.ContainsRune(formulaStarts, first) {
			cell = "'" + cell
		}
		safe[i] = cell
	}
	return safe
}

// Printable replaces what could move the cursor or colour the terminal: the text came from a
// client.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) && r != ' ' {
			return '·'
		}
		return r
	}, text)
}

// Shorten cuts text for a table.
func Shorten(text string, length int) string {
	runes := []rune(text)
	if len(runes) <= length {
		return text
	}
	return string(runes[:length-1]) + "…"
}

// Bytes writes a size for people.
func Bytes(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	size, unit := float64(n), 0
	for size >= 1024 && unit < len(units)-1 {
		size, unit = size/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", size, units[unit])
}
