package dashboard

import (
	"encoding/json"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"pillarbox"
)

// functions are what templates call.
var functions = template.FuncMap{
	"count": count, "bytes": bytesOf, "time": full, "add": func(a, b int) int { return a + b }, "query": query,
	"path": url.PathEscape, "percent": func(thousandths int) string { return strconv.FormatFloat(float64(thousandths)/10, 'f', 1, 64) },
	"shown": shown, "ago": ago, "until": func(t, now pillarbox.Timestamp) string { return in(t, now.Time()) },
	"link": func(at, to, name string) link {
		return link{to, name, at == to || to != "/" && strings.HasPrefix(at, to+"/")}
	},
	"has":  func(items []string, item string) bool { return slices.Contains(items, item) },
	"list": func(items ...string) []string { return items }, "json": jsonOf, "int64": func(n int) int64 { return int64(n) },
	"start": start, "startOf": func(body []byte) string { return start(string(body[:min(len(body), 4*maxStart)])) },
}

// link is an entry of the navigation.
type link struct {
	To, Name string
	Here     bool
}

// maxStart is how much of a text a row of a table shows, in bytes.
const maxStart = 120

// start is the beginning of a text.
func start(text string) string {
	if len(text) <= maxStart {
		return text
	}
	return strings.ToValidUTF8(text[:maxStart], "") + "…"
}

// jsonOf writes an object of names and values, without the empty texts.
func jsonOf(pairs ...any) (string, error) {
	object := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			object[fmt.Sprint(pairs[i])] = pairs[i+1]
		}
	}
	text, err := json.Marshal(object)
	return string(text), err
}

// count writes a number with its thousands apart.
func count(n any) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "\u202f" + text[at:]
	}
	return text
}

func bytesOf(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n), "KMGTPE"
	at := -1
	for value >= unit && at+1 < len(units) {
		value /= unit
		at++
	}
	return fmt.Sprintf("%.1f %ciB", value, units[at])
}

// full is a time to the microsecond, as everything else of ours writes it.
func full(t pillarbox.Timestamp) string {
	if t == 0 {
		return ""
	}
	return t.String()
}

// clock is the time of day, and the day where that is another one.
func clock(t pillarbox.Timestamp, now time.Time) string {
	at := t.Time().UTC()
	if at.Format(time.DateOnly) == now.UTC().Format(time.DateOnly) {
		return at.Format("15:04:05") + " UTC"
	}
	return at.Format("2006-01-02 15:04") + " UTC"
}

func in(t pillarbox.Timestamp, now time.Time) string {
	if left := t.Time().Sub(now); left >= time.Second {
		return "in " + span(left)
	}
	return "now"
}

func ago(t, now pillarbox.Timestamp) string {
	if t == 0 {
		return "never"
	}
	return span(now.Time().Sub(t.Time())) + " ago"
}

// span is how long something took, in its two largest units.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return "0 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d %d h", int(d.Hours())/24, int(d.Hours())%24)
}

// shown is text as it can be shown: what is no text, or would change the order of what is around it,
// is written as an escape.
func shown(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == '\t':
			b.WriteRune(r)
		case r == '\uFFFD', !strconv.IsGraphic(r):
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// plain is a number as an address has it.
func plain[T ~int | ~uint64](n T) string { return strconv.FormatUint(uint64(n), 10) }
