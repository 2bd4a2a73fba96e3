package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/telemetry"
)

func TestLogFormats(t *testing.T) {
	for _, format := range []string{telemetry.FormatAuto, telemetry.FormatJSON} {
		var out bytes.Buffer
		log := newLog(t, &out, format, slog.LevelInfo)
		log.Warn("paused", telemetry.KeyDestination, "events", telemetry.KeyRetryIn,
			1500*time.Millisecond, telemetry.KeyErr, errors.New("refused"))
		var record map[string]any
		if err := json.Unmarshal(out.Bytes(), &record); err != nil {
			t.Fatalf("%s: %v in %s", format, err, &out)
		}
		if record["msg"] != "paused" || record["destination"] != "events" ||
			record["retry_in"] != "1.5s" || record["err"] != "refused" {
			t.Errorf("%s: got %v", format, record)
		}
	}
	var out bytes.Buffer
	newLog(t, &out, telemetry.FormatText, slog.LevelInfo).Info("ready", telemetry.KeyAddr, ":8080")
	if !strings.Contains(out.String(), "level=INFO msg=ready addr=:8080\n") {
		t.Errorf("got %s", &out)
	}
}

func newLog(t *testing.T, out *bytes.Buffer, format string, level slog.Leveler) *slog.Logger {
	t.Helper()
	log, err := telemetry.NewLog(out, format, level)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// The level can be changed without a restart.
func TestLevelChanges(t *testing.T) {
	var out bytes.Buffer
	level := new(slog.LevelVar)
	log := newLog(t, &out, telemetry.FormatText, level)
	log.Debug("hidden")
	level.Set(slog.LevelDebug)
	log.Debug("shown")
	if text := out.String(); strings.Contains(text, "hidden") || !strings.Contains(text, "shown") {
		t.Errorf("got %s", text)
	}
}

// A file that nobody watches gets JSON; a terminal gets text. The null device is the only character
// device that a test can count on.
func TestAutoFormatLooksAtTheFile(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	log, err := telemetry.NewLog(null, telemetry.FormatAuto, slog.LevelInfo)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := log.Handler().(*slog.TextHandler); !ok {
		t.Errorf("got %T", log.Handler())
	}
}

func TestUnknownFormat(t *testing.T) {
	if _, err := telemetry.NewLog(os.Stderr, "xml", slog.LevelInfo); err == nil || !strings.Contains(err.Error(), `"xml"`) {
		t.Errorf("got %v", err)
	}
}
