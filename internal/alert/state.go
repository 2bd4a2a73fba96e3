package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"pillarbox/internal/vfs"
)

// StateFile is where the state is, in the data directory.
const StateFile = "alerts.json"

// Limits of the state.
const (
	MaxAlerts    = 1000    // that fire, or are to be told as resolved; of more, those that come later wait until there is room
	MaxPending   = 5000    // conditions that hold, and not long enough yet
	maxFileBytes = 8 << 20 // far above what the limits allow

	stateVersion = 1
	asideFile    = StateFile + ".aside"
)

// state is what outlives the process.
type state struct {
	Version int                `json:"version"`
	Pending map[string]pending `json:"pending"` // conditions that hold, and don't fire yet, by key
	Alerts  []*alert           `json:"alerts"`
	Past    *past              `json:"past"`
}

// pending is a condition that holds, and not for long enough yet.
type pending struct {
	Rule    string    `json:"rule"`
	Subject Subject   `json:"subject"`
	Summary string    `json:"summary"`
	Since   time.Time `json:"since"`
}

// alert is one that fires, or that somebody is to be told the end of.
//
//	fires            Ended is zero
//	fires, cleared   Ended is zero, and Clear is since when its condition does not hold
//	is over          Ended is set; it goes once nobody is owed its end
type alert struct {
	Key      string           `json:"key"`
	Rule     string           `json:"rule"`
	Severity Severity         `json:"severity"`
	Subject  Subject          `json:"subject"`
	Summary  string           `json:"summary"`
	Value    string           `json:"value,omitempty"`
	Runbook  string           `json:"runbook,omitempty"`
	Since    time.Time        `json:"since"`
	Fired    time.Time        `json:"fired"`
	Clear    time.Time        `json:"clear,omitzero"`
	Ended    time.Time        `json:"ended,omitzero"`
	Owed     map[string]*owed `json:"owed"` // by receiver, from the first try to tell it until it has its end
}

// owed is what one receiver knows of an alert.
type owed struct {
	Begun time.Time `json:"begun"`         // it may have been told since then
	Told  time.Time `json:"told,omitzero"` // it was told for certain, the last time
}

func (a *alert) fires() bool { return a.Ended.IsZero() }

func newState(at time.Time) *state {
	return &state{Version: stateVersion, Pending: map[string]pending{}, Past: newPast(at)}
}

// find returns the alert of a key; nil for none.
func (s *state) find(key string) *alert {
	for _, a := range s.Alerts {
		if a.Key == key {
			return a
		}
	}
	return nil
}

// keyOfAlert is what an alert is known by: its rule, and what it is of.
func keyOfAlert(rule string, of Subject) string {
	if of.key == "" {
		return rule
	}
	return rule + "/" + strings.ReplaceAll(of.key, "\x00", "/")
}

// drop forgets what is over and owed to nobody.
func (s *state) drop() {
	s.Alerts = slices.DeleteFunc(s.Alerts, func(a *alert) bool {
		return !a.fires() &&
			len(a.Owed) == 0
	})
}

// readState reads what an earlier process has left. Where there is none, or it can't be used, all
// begins anew, and the error says why; a file that is damaged is put aside.
func readState(fsys vfs.FS, at time.Time) (*state, error) {
	content, err := vfs.ReadFile(fsys, StateFile, maxFileBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(at), nil
	}
	if err != nil {
		return newState(at), err
	}
	s := &state{}
	if err = json.Unmarshal(content, s); err == nil && (s.Version != stateVersion || s.Past == nil ||
		slices.Contains(s.Alerts, nil)) {
		err = fmt.Errorf("it is of version %d, or not whole; this program knows version %d", s.Version,
			stateVersion)
	}
	if err != nil {
		aside := fsys.Rename(StateFile, asideFile)
		return newState(at), errors.Join(fmt.Errorf("%s, which is put aside as %s: %w", StateFile,
			asideFile, err), aside)
	}
	if s.Pending == nil {
		s.Pending = map[string]pending{}
	}
	if past := s.Past.goOn(at); past != s.Past { // nobody has looked for long
		s.Past, s.Pending = past, map[string]pending{}
	}
	for _, a := range s.Alerts {
		if a.Owed == nil {
			a.Owed = map[string]*owed{}
		}
		maps.DeleteFunc(a.Owed, func(_ string, o *owed) bool { return o == nil })
	}
	return s, nil
}

// write makes the state durable, in the place of what was there.
func write(fsys vfs.FS, content []byte) error {
	if err := vfs.WriteFile(fsys, StateFile, content); err != nil {
		return fmt.Errorf("write %s: %w", StateFile, err)
	}
	return nil
}
