package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
)

// The forms of output.
const (
	formTable = "table"
	formJSON  = "json"
	formCSV   = "csv"
)

// outputFlag adds -o to a command that reads.
func outputFlag(command *cobra.Command, form *string) {
	command.Flags().StringVarP(form, "output", "o", formTable, "table, json or csv")
}

func checkForm(form string) error {
	switch form {
	case formTable, formJSON, formCSV:
		return nil
	}
	return usageError{fmt.Errorf("-o %s: want table, json or csv", form)}
}

// printJSON writes a value, indented, and nothing else.
func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

// rows is a table of text.
type rows struct {
	head []string
	body [][]string
}

func (r *rows) add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = fmt.Sprint(cell)
	}
	r.body = append(r.body, row)
}

// print writes the rows as a table for people, or as CSV.
func (r *rows) print(w io.Writer, form string) error {
	if form == formCSV {
		out := csv.NewWriter(w)
		if err := out.Write(r.head); err != nil {
			return err
		}
		out.Flush()
		if err := out.Error(); err != nil {
			return err
		}
		return r.printBody(w)
	}
	out := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(out, strings.ToUpper(strings.Join(r.head, "\t")))
	for _, row := range r.body {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		fmt.Fprintln(out, strings.Join(cells, "\t"))
	}
	return out.Flush()
}

// printBody writes the rows without their head as CSV.
func (r *rows) printBody(w io.Writer) error {
	out := csv.NewWriter(w)
	for _, row := range r.body {
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

// printable replaces what could move the cursor or colour the terminal: the text came from a
// client.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) && r != ' ' {
			return '·'
		}
		return r
	}, text)
}

// shorten cuts text for a table.
func shorten(text string, length int) string {
	runes := []rune(text)
	if len(runes) <= length {
		return text
	}
	return string(runes[:length-1]) + "…"
}

// bytesText writes a size for people.
func bytesText(n int64) string {
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
