package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// What an item of a message says.
const (
	EventFiring   = "firing"
	EventResolved = "resolved"
	EventTest     = "test"
)

// Limits of messages.
const (
	MaxItems = 50  // of a message; of more, it has the number
	maxText  = 600 // bytes of any text of one
)

// Message is what a receiver is told at once.
type Message struct {
	ID        string    // the same for the same content
	Node      string    // that tells
	Dashboard string    // its address; empty for none
	At        time.Time // when it was made
	Items     []Item    // the high ones first; of a severity, what begins, what goes on, what is over
	More      int       // items that are left out
}

// Item is one alert of a message. Its texts are of one line, bounded, and nothing that a client has
// sent.
type Item struct {
	Event    string // EventFiring, EventResolved or EventTest
	Again    bool   // it was told before
	Rule     string
	Severity Severity
	Subject  Subject
	Summary  string
	Value    string // with its unit; empty for none
	Runbook  string
	Since    time.Time // when the condition began to hold
	Ended    time.Time // when it was over; zero while it is not
	Key      string    // by which a receiver knows it, for as long as there is this rule for this thing

	told time.Time // when it was told last
}

// Count returns how many items begin or go on, and how many are over.
func (m *Message) Count() (firing, resolved int) {
	for i := range m.Items {
		if m.Items[i].Event == EventResolved {
			resolved++
		} else {
			firing++
		}
	}
	return firing, resolved
}

// Title is the message in a line.
func (m *Message) Title() string {
	firing, resolved := m.Count()
	var what []string
	if firing > 0 {
		what = append(what, fmt.Sprintf("%d firing", firing+m.More))
	}
	if resolved > 0 {
		what = append(what, fmt.Sprintf("%d resolved", resolved))
	}
	title := fmt.Sprintf("[pillarbox %s] %s", m.Node, strings.Join(what, ", "))
	if len(m.Items) == 1 {
		i := &m.Items[0]
		title = fmt.Sprintf("[pillarbox %s] %s (%s): %s", m.Node, i.said(), i.Severity, i.Summary)
	}
	return clean(title, maxText)
}

// said is the event in words.
func (i *Item) said() string {
	if i.Again {
		return "still " + i.Event
	}
	return i.Event
}

// Text is one item as lines of plain text.
func (i *Item) Text() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s: %s (%s)\n", strings.ToUpper(i.said()), i.Rule, i.Severity)
	fmt.Fprintf(&out, "  what:     %s\n", i.Summary)
	if i.Subject.Name != "" {
		fmt.Fprintf(&out, "  where:    %s %s\n", i.Subject.Kind, i.Subject.Name)
	}
	fmt.Fprintf(&out, "  since:    %s\n", i.Since.UTC().Format(time.RFC3339))
	if !i.Ended.IsZero() {
		fmt.Fprintf(&out, "  until:    %s\n", i.Ended.UTC().Format(time.RFC3339))
	}
	if i.Value != "" {
		fmt.Fprintf(&out, "  value:    %s\n", i.Value)
	}
	if i.Runbook != "" {
		fmt.Fprintf(&out, "  what now: %s\n", i.Runbook)
	}
	return out.String()
}

// Rest says where the items are that are left out.
func (m *Message) Rest() string {
	return fmt.Sprintf("and %d more: \"pillarbox alerts\" has them all", m.More)
}

// Text is the whole message as plain text.
func (m *Message) Text() string {
	var out strings.Builder
	for i := range m.Items {
		out.WriteString(m.Items[i].Text() + "\n")
	}
	if m.More > 0 {
		out.WriteString(m.Rest() + "\n\n")
	}
	fmt.Fprintf(&out, "told by pillarbox on %s at %s\n", m.Node, m.At.UTC().Format(time.RFC3339))
	if m.Dashboard != "" {
		fmt.Fprintf(&out, "dashboard: %s\n", m.Dashboard)
	}
	return out.String()
}

// seal bounds the message, and gives it its id: one that is tried again because it was not taken
// has the same one, and one that repeats what was told has another.
func (m *Message) seal() {
	digest := sha256.New()
	for i := range m.Items {
		item := &m.Items[i]
		fmt.Fprintf(digest, "%s %s %d %d %d\n", item.Event, item.Key, item.Since.UnixNano(),
			item.Ended.UnixNano(), item.told.UnixNano())
		for _, text := range []*string{&item.Summary, &item.Runbook, &item.Subject.Name} {
			*text = clean(*text, maxText)
		}
	}
	m.ID = "alert_" + hex.EncodeToString(digest.Sum(nil)[:16])
	if extra := len(m.Items) - MaxItems; extra > 0 {
		m.Items, m.More = m.Items[:MaxItems], extra
	}
}

// clean makes one line of a text, of so many bytes at most, without what a terminal or a reader
// could be deceived by.
func clean(text string, most int) string {
	text = strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, text), "?")
	if len(text) <= most {
		return text
	}
	cut := most - len("…")
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}

// say is a number with its unit.
func say(number float64, unit string) string {
	switch unit {
	case unitSeconds:
		return sayTime(number)
	case unitShare:
		return strconv.FormatFloat(number*100, 'f', 1, 64) + " %"
	case unitBytes:
		return sayBytes(number)
	}
	if number == float64(int64(number)) {
		return strconv.FormatInt(int64(number), 10)
	}
	return strconv.FormatFloat(number, 'g', 4, 64)
}

func sayTime(seconds float64) string {
	span := time.Duration(seconds * float64(time.Second))
	switch days := int64(span / (24 * time.Hour)); {
	case days != 0:
		return fmt.Sprintf("%dd%dh", days, int64((span % (24 * time.Hour) / time.Hour).Abs()))
	case span.Abs() >= time.Hour:
		return fmt.Sprintf("%dh%dm", int64(span/time.Hour), int64((span % time.Hour / time.Minute).Abs()))
	case span.Abs() >= time.Minute:
		return fmt.Sprintf("%dm%ds", int64(span/time.Minute),
			int64((span % time.Minute / time.Second).Abs()))
	}
	return span.Round(time.Millisecond).String()
}

func sayBytes(number float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	at := 0
	for ; number >= 1024 && at < len(units)-1; at++ {
		number /= 1024
	}
	return strconv.FormatFloat(number, 'f', 1, 64) + " " + units[at]
}
