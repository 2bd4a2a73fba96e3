// Package console writes what a node shows for a person at a terminal, or for a program: as a
// table, as JSON, or as CSV.
//
// It promises that text which came from a client never moves the cursor or colours the terminal,
// that JSON is the value and nothing else, and that CSV is what was sent, byte for byte, unless it
// is to be safe for a spreadsheet. It decides nothing and asks nobody.
package console
