package alert_test

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"pillarbox/internal/alert"
)

var update = flag.Bool("update", false, "rewrite the table of values in docs/OPERATIONS.md")

const (
	operationsFile = "../../docs/OPERATIONS.md"
	valuesBegin    = "<!-- alert values: begin, written by go test ./internal/alert -run Reference -update -->\n"
	valuesEnd      = "<!-- alert values: end -->\n"
)

// TestValuesReference holds the table in docs/OPERATIONS.md to the values.
func TestValuesReference(t *testing.T) {
	var table strings.Builder
	table.WriteString("| name | type | meaning |\n|---|---|---|\n")
	for _, v := range alert.Values() {
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", v.Name, v.Type, v.Doc)
	}
	content, err := os.ReadFile(operationsFile)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(content), valuesBegin)
	old, tail, ended := strings.Cut(rest, valuesEnd)
	if !found || !ended {
		t.Fatalf("%s has no place for the values between %q and %q", operationsFile, valuesBegin,
			valuesEnd)
	}
	if old == table.String() {
		return
	}
	if !*update {
		t.Fatalf("the values in %s are stale; run go test ./internal/alert -run Reference -update",
			operationsFile)
	}
	if err := os.WriteFile(operationsFile, []byte(head+valuesBegin+table.String()+valuesEnd+tail),
		0o644); err != nil {
		t.Fatal(err)
	}
}
