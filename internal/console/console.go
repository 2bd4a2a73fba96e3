package console

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
)

// The forms of output.
const (
	Table = "table"
	JSON  = "json"
	CSV   = "csv"
)

// CheckForm refuses another form.
func CheckForm(form string) error {
	switch form {
	case Table, JSON, CSV:
		return nil
	}
	return fmt.Errorf("-o %s: want table, json or csv", form)
}

// WriteJSON writes a value, indented, and nothing else.
func WriteJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
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

// Write writes the rows as a table for people, or as CSV.
func (r *Rows) Write(w io.Writer, form string) error {
	if form == CSV {
		out := csv.NewWriter(w)
		if err := out.Write(r.Head); err != nil {
			return err
		}
		out.Flush()
		if err := out.Error(); err != nil {
			return err
		}
		return r.WriteBody(w)
	}
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(out, strings.ToUpper(strings.Join(r.Head, "\t")))
	for _, row := range r.Body {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = Printable(cell)
		}
		fmt.Fprintln(out, strings.Join(cells, "\t"))
	}
	return out.Flush()
}

// WriteBody writes the rows without their head as CSV.
func (r *Rows) WriteBody(w io.Writer) error {
	out := csv.NewWriter(w)
	for _, row := range r.Body {
		if err := out.Write(safeCells(row)); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// safeCells keeps a spreadsheet from taking text of a client for a formula.
func safeCells(row []string) []string {
	safe := make([]string, len(row))
	for i, cell := range row {
		if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
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
