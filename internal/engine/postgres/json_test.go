package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// bodies are what senders send, and whether body_json has it.
var bodies = map[string]bool{
	`{}`: true, `[]`: true, `"x"`: true, ` 1 `: true, `null`: true, `{"a":[1,2,{"b":null}]}`: true,
	`{"a":1,"a":2}`: true, `"größe"`: true, `"\ud83d\ude00"`: true, `"\\u0000"`: true, `-0.0e-12`: true,
	``: false, `{`: false, `a=1`: false, "\xff": false, "\"\xff\"": false, "\ufeff{}": false,
	`"\u0000"`: false, `{"\u0000":1}`: false, `"\ud800"`: false, `"\ude00\ud83d"`: false, `"\ud83d\u0041"`: false, `"\ud83dx"`: false,
	`1e400`: false, `1e999999999999`: false, `[1e-999999999]`: false, strings.Repeat("9", 300): false,
	strings.Repeat("[", 400) + strings.Repeat("]", 400): true, strings.Repeat("[", 600) + strings.Repeat("]", 600): false,
}

func TestWhatIsJSONB(t *testing.T) {
	for body, want := range bodies {
		if got := isJSONB([]byte(body)); got != want {
			t.Errorf("%.60q: %v, want %v", body, got, want)
		}
	}
}

// FuzzJSONBIsTaken: what is handed to the server as jsonb is valid JSON, and, where a server is named
// in PILLARBOX_TEST_POSTGRES_URL, the server takes it.
func FuzzJSONBIsTaken(f *testing.F) {
	for body := range bodies {
		f.Add([]byte(body))
	}
	var conn *pgx.Conn
	if url := os.Getenv("PILLARBOX_TEST_POSTGRES_URL"); url != "" {
		var err error
		if conn, err = pgx.Connect(context.Background(), url); err != nil {
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if !isJSONB(body) {
			return
		}
		if !json.Valid(body) {
			t.Fatalf("%q is no JSON", body)
		}
		if conn == nil {
			return
		}
		if err := takes(conn, body); err != nil {
			t.Fatalf("the server refuses %q: %v", body, err)
		}
	})
}

func takes(conn *pgx.Conn, body []byte) error {
	var text string
	if err := conn.QueryRow(context.Background(), "SELECT $1::text::jsonb::text", string(body)).Scan(&text); err != nil {
		return fmt.Errorf("%w", err)
	}
	return nil
}
