package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
)

// List writes a list whose items come one after the other, and keeps none of them: JSON and CSV at
// once, of a table the cells, so that its columns are as wide as they have to be. It is used by one
// goroutine, and ends with End.
type List struct {
	w     io.Writer
	form  Form
	name  string // of the list in JSON
	table Rows
	rare  []string // names of columns that a table does not have where all their cells are empty
	items int
}

// NewList makes a list. head is that of the table.
func NewList(w io.Writer, form Form, name string, head []string) *List {
	return &List{w: w, form: form, name: name, table: Rows{Head: head}}
}

// Len is how many items were added.
func (l *List) Len() int { return l.items }

// Add writes an item: the value in JSON, else the cells.
func (l *List) Add(value any, cells ...any) error {
	l.items++
	switch l.form.Kind {
	case JSON:
		return l.addJSON(value)
	case CSV:
		if l.items == 1 {
			if err := writeRecords(l.w, [][]string{l.table.Head}); err != nil {
				return err
			}
		}
		row := Rows{}
		row.Add(cells...)
		return row.WriteBody(l.w, l.form)
	}
	l.table.Add(cells...)
	return nil
}

// listIndent is that of the items in JSON.
const listIndent = "    "

func (l *List) addJSON(value any) error {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent(listIndent, "  ")
	if err := encoder.Encode(value); err != nil {
		return err
	}
	before := ",\n"
	if l.items == 1 {
		before = fmt.Sprintf("{\n  %q: [\n", l.name)
	}
	_, err := fmt.Fprintf(l.w, "%s%s%s", before, listIndent, bytes.TrimRight(out.Bytes(), "\n"))
	return err
}

// Field is what stands beside the list in JSON.
type Field struct {
	Name  string
	Value any
}

// End writes what is left: the table, or the end of the JSON with the fields beside the list.
func (l *List) End(fields ...Field) error {
	switch l.form.Kind {
	case JSON:
		return l.endJSON(fields)
	case CSV:
		if l.items == 0 {
			return writeRecords(l.w, [][]string{l.table.Head})
		}
		return nil
	}
	for _, name := range l.rare {
		l.table.dropEmpty(name)
	}
	return l.table.Write(l.w, l.form)
}

func (l *List) endJSON(fields []Field) error {
	var out bytes.Buffer
	if l.items == 0 {
		fmt.Fprintf(&out, "{\n  %q: []", l.name)
	} else {
		out.WriteString("\n  ]")
	}
	for _, field := range fields {
		var value bytes.Buffer
		encoder := json.NewEncoder(&value)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("  ", "  ")
		if err := encoder.Encode(field.Value); err != nil {
			return err
		}
		fmt.Fprintf(&out, ",\n  %q: %s", field.Name, bytes.TrimRight(value.Bytes(), "\n"))
	}
	out.WriteString("\n}\n")
	_, err := l.w.Write(out.Bytes())
	return err
}

// TellOfMore says on talk that a list was cut, and how to see the rest. In JSON it says so itself,
// by its next_cursor.
func TellOfMore(talk io.Writer, form Form, shown int, next string) {
	if next != "" && form.Kind != JSON {
		fmt.Fprintf(talk, "there are more than these %d; see them with a higher --limit, or with --cursor %s\n",
			shown, next)
	}
}
