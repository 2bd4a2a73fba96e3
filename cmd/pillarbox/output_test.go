package main

import (
	"os"
	"strings"
	"testing"

	"pillarbox/internal/console"
)

// TestAllOutputGoesThroughOnePlace: whoever writes to the standard files on his own shows a
// terminal what a client sent.
func TestAllOutputGoesThroughOnePlace(t *testing.T) {
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	uses := 0
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".go") || strings.HasSuffix(file.Name(), "_test.go") {
			continue
		}
		text, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"os.Stdout", "os.Stderr"} {
			all := strings.Count(string(text), name)
			uses += all
			if through := strings.Count(string(text), "newScreen("+name+")"); through != all {
				t.Errorf("%s uses %s, and not through newScreen", file.Name(), name)
			}
		}
		for _, past := range []string{"fmt.Print(", "fmt.Printf(", "fmt.Println("} {
			if strings.Contains(string(text), past) {
				t.Errorf("%s has %s, which goes past newScreen", file.Name(), past)
			}
		}
	}
	if uses < 2 {
		t.Errorf("only %d uses were found: is this test looking at the right files?", uses)
	}
}

// TestSpreadsheetSafeIsOfCSV, of every command that writes it.
func TestSpreadsheetSafeIsOfCSV(t *testing.T) {
	try(t, "events", "--spreadsheet-safe").failsWith(t, exitUsage, "--spreadsheet-safe is for -o csv")
	for _, form := range []console.Form{{Kind: console.CSV, SpreadsheetSafe: true},
		{Kind: console.CSV}, {Kind: console.JSON}, {Kind: console.Table}} {
		if err := checkForm(form); err != nil {
			t.Errorf("%+v: %v", form, err)
		}
	}
	if got := try(t, "queue", "verify", "-o", "csv", "--spreadsheet-safe", "--data",
		t.TempDir()); got.code == exitUsage {
		t.Error(got.err)
	}
}
