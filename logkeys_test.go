package pillarbox_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// logCalls are the methods of *slog.Logger, with the place of their first key.
var logCalls = map[string]int{"Debug": 1, "Info": 1, "Warn": 1, "Error": 1, "With": 0}

// wordsOfTheirOwn are the packages that this is not asked of, each with the reason.
var wordsOfTheirOwn = map[string]string{
	"internal/benchmark": "its Error is no line of a log",
	"internal/clock":     "it knows nothing of the domain, and of telemetry neither",
	"internal/run":       "it knows nothing of the domain, and of telemetry neither",
}

// TestLogAttributesHaveOneWord: the keys of log attributes come from package telemetry, so that one
// idea has one word in every line.
func TestLogAttributesHaveOneWord(t *testing.T) {
	files, calls := token.NewFileSet(), 0
	err := filepath.WalkDir("internal", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(name, ".go") ||
			strings.HasSuffix(name, "_test.go") {
			return err
		}
		if wordsOfTheirOwn[filepath.ToSlash(filepath.Dir(name))] != "" {
			return nil
		}
		file, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(node ast.Node) bool {
			call, ok := node.(*ast.CallExpr)
			if !ok {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			first, ok := logCalls[method.Sel.Name]
			if !ok || len(call.Args) < first {
				return true
			}
			calls++
			for i := first; i < len(call.Args); i += 2 {
				if key, ok := call.Args[i].(*ast.BasicLit); ok && key.Kind == token.STRING {
					t.Errorf("%s: %s is written out; take it from package telemetry", files.Position(key.Pos()),
						key.Value)
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if calls < 50 {
		t.Errorf("only %d calls were found", calls)
	}
}
