package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"os"
)

// The formats of a log.
const (
	FormatAuto = "auto" // text where a person reads along, JSON otherwise
	FormatText = "text"
	FormatJSON = "json"
)

// NewLog returns a logger that writes one line per record to w. Its level may change while it is
// used, if level is a *slog.LevelVar. Durations are written as text with their unit ("1.5s") in
// both formats. It fails for an unknown format.
func NewLog(w io.Writer, format string, level slog.Leveler) (*slog.Logger, error) {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	if format == FormatAuto {
		format = FormatJSON
		if terminal(w) {
			format = FormatText
		}
	}
	switch format {
	case FormatText:
		return slog.New(slog.NewTextHandler(w, options)), nil
	case FormatJSON:
		return slog.New(slog.NewJSONHandler(w, options)), nil
	}
	return nil, fmt.Errorf("log format %q: want %s, %s or %s", format, FormatAuto, FormatText,
		FormatJSON)
}

func readable(_ []string, attr slog.Attr) slog.Attr {
	if attr.Value.Kind() == slog.KindDuration {
		attr.Value = slog.StringValue(attr.Value.Duration().String())
	}
	return attr
}

func terminal(w io.Writer) bool {
	if lines, ok := w.(*Lines); ok {
		w = lines.to
	}
	if screen, ok := w.(interface{ IsTerminal() bool }); ok {
		return screen.IsTerminal()
	}
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
