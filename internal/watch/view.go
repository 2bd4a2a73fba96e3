package watch

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"pillarbox"
	"pillarbox/internal/console"
	"pillarbox/internal/ledger"
)

// Limits of what is drawn.
const (
	barWidth      = 40 // characters of the bar of an account
	narrowBar     = 16 // where the terminal has fewer than narrowAt columns
	narrowAt      = 80
	defaultHeight = 24
)

const keys = "q ends · space holds · ↑ ↓ scroll"

func (m *model) View() tea.View {
	lines := strings.Split(strings.TrimRight(m.text(), "\n"), "\n")
	height := m.height
	if height == 0 {
		height = defaultHeight
	}
	m.top = max(0, min(m.top, len(lines)-(height-1)))
	lines = lines[m.top:min(len(lines), m.top+max(1, height-1))]
	if m.width > 0 {
		for i, line := range lines {
			lines[i] = ansi.Truncate(line, m.width, "…")
		}
	}
	view := tea.NewView(strings.Join(append(lines, m.foot()), "\n"))
	view.AltScreen = true
	view.WindowTitle = "pillarbox"
	return view
}

func (m *model) foot() string {
	var out bytes.Buffer
	_ = console.Faint.Write(console.NewTerminal(&out, true), keys) // a buffer takes everything
	if m.width > 0 {
		return ansi.Truncate(out.String(), m.width, "…")
	}
	return out.String()
}

// text is everything there is to see. The terminal in between escapes what clients have sent.
func (m *model) text() string {
	var out bytes.Buffer
	w := console.NewTerminal(&out, true)
	m.writeHead(w)
	if m.last.status != nil {
		if err := console.WriteStatus(w, m.last.status, console.Form{Kind: console.Table}); err != nil {
			fmt.Fprintln(w, err)
		}
		m.writeAccounts(w)
	}
	return out.String()
}

// writeHead says when this was seen, and what went wrong since.
func (m *model) writeHead(w io.Writer) {
	switch {
	case m.now.at.IsZero():
		fmt.Fprintln(w, "asking the server …")
		return
	case m.now.err != nil:
		write(w, console.Bad, fmt.Sprintf("no answer at %s: %s", stamp(m.now.at), console.Printable(m.now.err.Error())))
		if m.last.status != nil {
			fmt.Fprintf(w, "; this was so at %s", stamp(m.last.at))
		}
	default:
		fmt.Fprintf(w, "%s%s", stamp(m.now.at), m.rate())
	}
	if m.held {
		write(w, console.Warning, " (held)")
	}
	fmt.Fprint(w, "\n\n")
}

func stamp(at time.Time) pillarbox.Timestamp { return pillarbox.TimestampOf(at) }

// rate says how much was accepted since the look before.
func (m *model) rate() string {
	if m.before.status == nil || m.last.status.Queue.Accepted < m.before.status.Queue.Accepted {
		return "" // the first look, or of another queue
	}
	return fmt.Sprintf(", %s accepted", perSecond(m.last.status.Queue.Accepted-m.before.status.Queue.Accepted, m.last.at.Sub(m.before.at)))
}

func perSecond(events uint64, in time.Duration) string {
	return fmt.Sprintf("%.1f/s", float64(events)/max(in.Seconds(), 1e-3))
}

// part is a part of an account, and how it is drawn: each with another character, for who sees no colours.
type part struct {
	name  string
	count func(*ledger.Entry) uint64
	style console.Style
	drawn string
}

var parts = []part{
	{"stored", func(e *ledger.Entry) uint64 { return e.Stored }, console.Good, "█"},
	{"skipped", func(e *ledger.Entry) uint64 { return e.Skipped }, console.Faint, "░"},
	{"pending", func(e *ledger.Entry) uint64 { return e.Pending }, console.Warning, "▒"},
	{"dead", func(e *ledger.Entry) uint64 { return e.Dead }, console.Bad, "▓"},
}

// writeAccounts writes the account of each destination: what was accepted is the sum of its parts, or it
// is said that it is not.
func (m *model) writeAccounts(w io.Writer) {
	if m.last.totals == nil {
		return
	}
	for i := range m.last.totals.Destinations {
		entry := &m.last.totals.Destinations[i]
		fmt.Fprintf(w, "\n%s  %d accepted = ", entry.Destination, entry.Accepted)
		for i, part := range parts {
			if i > 0 {
				fmt.Fprint(w, " + ")
			}
			write(w, part.style, fmt.Sprintf("%d %s", part.count(entry), part.name))
		}
		fmt.Fprintln(w, m.storedRate(entry))
		m.writeBar(w, entry)
		switch {
		case entry.Damaged > 0 || !entry.Balanced:
			write(w, console.Bad, fmt.Sprintf("  does not add up: %d damaged; \"pillarbox audit\" says more", entry.Damaged))
		case entry.Uncounted:
			write(w, console.Faint, "  the queue counts nothing: this is their sum")
		default:
			write(w, console.Good, "  adds up")
		}
		fmt.Fprintln(w)
		m.writeTrouble(w, entry.Destination)
	}
}

// writeTrouble says why a destination is down, and when it is looked at again.
func (m *model) writeTrouble(w io.Writer, destination string) {
	for _, d := range m.last.status.Destinations {
		if d.Destination != destination || d.DownSince == 0 {
			continue
		}
		write(w, console.Bad, fmt.Sprintf("down since %s: %s", d.DownSince, console.Printable(d.LastError)))
		if d.NextProbe != 0 {
			fmt.Fprintf(w, "; it is asked again at %s", d.NextProbe)
		}
		fmt.Fprintln(w)
	}
}

func (m *model) storedRate(entry *ledger.Entry) string {
	if m.before.totals == nil {
		return ""
	}
	for _, before := range m.before.totals.Destinations {
		if before.Destination == entry.Destination && entry.Stored >= before.Stored {
			return fmt.Sprintf(", %s stored", perSecond(entry.Stored-before.Stored, m.last.at.Sub(m.before.at)))
		}
	}
	return ""
}

// writeBar draws the parts in proportion. One that is there has a character at least: a single dead letter
// among millions is what a person looks for.
func (m *model) writeBar(w io.Writer, entry *ledger.Entry) {
	width := barWidth
	if m.width > 0 && m.width < narrowAt {
		width = narrowBar
	}
	for i, cells := range proportions(entry, width) {
		write(w, parts[i].style, strings.Repeat(parts[i].drawn, cells))
	}
}

// proportions are the cells of each part, of width in all; none where nothing was accepted.
func proportions(entry *ledger.Entry, width int) []int {
	cells := make([]int, len(parts))
	var sum uint64
	for _, part := range parts {
		sum += part.count(entry)
	}
	if sum == 0 {
		return cells
	}
	used, largest := 0, 0
	for i, part := range parts {
		n := part.count(entry)
		if n > 0 {
			cells[i] = max(1, int(float64(n)/float64(sum)*float64(width)))
		}
		used += cells[i]
		if cells[i] > cells[largest] {
			largest = i
		}
	}
	cells[largest] += width - used
	return cells
}

// write writes to the buffer beneath, which takes everything.
func write(w io.Writer, style console.Style, text string) { _ = style.Write(w, text) }
