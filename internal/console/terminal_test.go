package console_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"pillarbox/internal/console"
)

// TestTerminalEscapesWhatMoves, wherever a write ends, and leaves all other text alone.
func TestTerminalEscapesWhatMoves(t *testing.T) {
	for text, want := range map[string]string{
		"plain ü ☂ 😀\tand\nmore": "plain ü ☂ 😀\tand\nmore",
		"\x1b[31m\a\r\x00\x7f":   `\u001b[31m\u0007\u000d\u0000\u007f`,
		"\u0080\u009b\u009f":     `\u0080\u009b\u009f`,
		"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u2028\u2029": `\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u2028\u2029`,
		"\xff\x9b\xc3(\xe2\x80":     `\xff\x9b\xc3(\xe2\x80`,
		"a\u00a0\u200b\u2065\u206a": "a\u00a0\u200b\u2065\u206a",
	} {
		for size := 1; size <= len(text); size++ {
			var out bytes.Buffer
			terminal := console.NewTerminal(&out, false)
			for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
				part := rest[:min(size, len(rest))]
				if n, err := terminal.Write([]byte(part)); n != len(part) || err != nil {
					t.Fatal(n, err)
				}
			}
			if err := terminal.Close(); err != nil || out.String() != want {
				t.Errorf("%q in pieces of %d is shown as %q, want %q (%v)", text, size, out.String(), want, err)
			}
		}
	}
}

// TestTerminalKeepsTheMeaningOfJSON.
func TestTerminalKeepsTheMeaningOfJSON(t *testing.T) {
	const text = "\x1b\x7f\u009b\u202e\u2028\\u202e\n\t\"ü😀"
	var out bytes.Buffer
	terminal := console.NewTerminal(&out, false)
	if err := console.WriteJSON(terminal, map[string]string{"a": text}); err != nil {
		t.Fatal(err)
	}
	var back map[string]string
	if err := json.Unmarshal(out.Bytes(), &back); err != nil || back["a"] != text {
		t.Errorf("%s is %q (%v)", out.String(), back["a"], err)
	}
}

// TestCSVIsWhatWasSent: every cell comes back byte for byte, unless a spreadsheet is to be safe.
func TestCSVIsWhatWasSent(t *testing.T) {
	cells := []string{"-12.5", "+447700900123", "=1+1", "@x", "\tx", "\nx", "＝1", "plain", "",
		"a\"b,c",
		" x", "\x1b\u202e\xff", "a\rb"}
	for _, safe := range []bool{false, true} {
		var out bytes.Buffer
		rows := console.Rows{Head: make([]string, len(cells)), Body: [][]string{cells}}
		if err := rows.Write(&out, console.Form{Kind: console.CSV, SpreadsheetSafe: safe}); err != nil {
			t.Fatal(err)
		}
		records, err := csv.NewReader(&out).ReadAll()
		if err != nil || len(records) != 2 {
			t.Fatal(records, err)
		}
		for i, cell := range cells {
			want := cell
			if safe && cell != "" && strings.Contains("-+=@\t\n＝", string([]rune(cell)[:1])) {
				want = "'" + cell
			}
			if records[1][i] != want {
				t.Errorf("safe %v: %q became %q", safe, cell, records[1][i])
			}
		}
	}
}
