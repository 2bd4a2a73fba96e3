// Package watch shows how a server is on a terminal, in one place, until it is ended: how it and its
// destinations are, the account of each destination as a bar that adds up, and how much came and went
// since the last look.
//
// It promises that looking changes nothing, that a server that does not answer is waited for and said to
// be away, and that nothing that a client sent moves the cursor or has a colour of its own. It keeps no
// history: the dashboard has one.
package watch

import (
	"context"
	"io"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"

	"pillarbox/internal/adminapi"
	"pillarbox/internal/ledger"
)

// Options of Run. Look is required.
type Options struct {
	Look  func(ctx context.Context) (*adminapi.Status, *ledger.Totals, error)
	Every time.Duration // between two looks

	In  io.Reader // keys
	Out io.Writer // the terminal
}

// Run shows until the context ends or q is pressed.
func Run(ctx context.Context, options Options) error {
	program := tea.NewProgram(newModel(ctx, options), tea.WithContext(ctx), tea.WithInput(options.In),
		tea.WithOutput(options.Out), tea.WithEnvironment(os.Environ()), tea.WithoutSignalHandler())
	_, err := program.Run()
	if ctx.Err() != nil {
		return nil // it was interrupted
	}
	return err
}

// look is what was seen at once.
type look struct {
	at     time.Time
	status *adminapi.Status
	totals *ledger.Totals
	err    error
}

// due says that it is time for another look.
type due struct{}

type model struct {
	ctx     context.Context
	options Options

	now    look // the newest
	last   look // the newest that was answered
	before look // the one before that
	held   bool // what is shown stays

	top           int // first line that is shown
	width, height int // of the terminal; 0 while they are not known
}

func newModel(ctx context.Context, options Options) *model {
	return &model{ctx: ctx, options: options}
}

func (m *model) Init() tea.Cmd { return m.look }

// look asks the server. It runs beside the model, and reads only what never changes.
func (m *model) look() tea.Msg {
	seen := look{at: time.Now()}
	seen.status, seen.totals, seen.err = m.options.Look(m.ctx)
	return seen
}

func (m *model) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch message := message.(type) {
	case look:
		m.take(message)
		return m, tea.Tick(m.options.Every, func(time.Time) tea.Msg { return due{} })
	case due:
		return m, m.look
	case tea.WindowSizeMsg:
		m.width, m.height = message.Width, message.Height
	case tea.KeyPressMsg:
		return m, m.press(message.String())
	}
	return m, nil
}

func (m *model) take(seen look) {
	if m.held {
		return
	}
	m.now = seen
	if seen.err == nil {
		m.before, m.last = m.last, seen
	}
}

func (m *model) press(key string) tea.Cmd {
	switch page := max(1, m.height-2); key {
	case "q", "esc", "ctrl+c":
		return tea.Quit
	case "space", "p":
		m.held = !m.held
	case "down", "j":
		m.top++
	case "up", "k":
		m.top--
	case "pgdown", "f":
		m.top += page
	case "pgup", "b":
		m.top -= page
	case "home", "g":
		m.top = 0
	}
	return nil
}
