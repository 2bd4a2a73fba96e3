package dashboard

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"time"

	"pillarbox"
)

// status is what pages show of /api/v1/status.
type status struct {
	Version   string              `json:"version"`
	StartedAt pillarbox.Timestamp `json:"started_at"`
	Data      string              `json:"data"`
	Roles     []string            `json:"roles"`
	Ready     bool                `json:"ready"`
	Reason    string              `json:"reason"`
	Queue     struct {
		Accepted  uint64   `json:"accepted"`
		Bytes     int64    `json:"bytes"`
		MaxBytes  int64    `json:"max_bytes"`
		Problem   string   `json:"problem"`
		Damage    []string `json:"damage"`
		Uncounted bool     `json:"uncounted"`
	} `json:"queue"`
	Disk         string        `json:"disk"`
	Destinations []destination `json:"destinations"`
	Sources      []struct {
		Source string `json:"source"`
		Path   string `json:"path"`
	} `json:"sources"`
	Unconfigured []struct {
		Destination string `json:"destination"`
		Pending     uint64 `json:"pending"`
		Held        uint64 `json:"held"`
	} `json:"unconfigured"`
	Certificates []struct {
		Listener string              `json:"listener"`
		File     string              `json:"file"`
		Names    []string            `json:"names"`
		NotAfter pillarbox.Timestamp `json:"not_after"`
		Problem  string              `json:"problem"`
	} `json:"certificates"`
	Encryption *struct {
		DataKeys int                 `json:"data_keys"`
		Created  pillarbox.Timestamp `json:"created"`
		Problem  string              `json:"problem"`
	} `json:"encryption"`
	Quarantine *struct {
		Requests int   `json:"requests"`
		Bytes    int64 `json:"bytes"`
	} `json:"quarantine"`
	Canary *struct {
		OK   bool   `json:"ok"`
		Text string `json:"text"`
	} `json:"canary"`
}

// destination is how one destination is.
type destination struct {
	Destination   string              `json:"destination"`
	URL           string              `json:"url"`
	State         string              `json:"state"`
	DownSince     pillarbox.Timestamp `json:"down_since"`
	PausedSince   pillarbox.Timestamp `json:"paused_since"`
	PausedBy      string              `json:"paused_by"`
	PauseReason   string              `json:"pause_reason"`
	NextProbe     pillarbox.Timestamp `json:"next_probe"`
	LastError     string              `json:"last_error"`
	LastErrorAt   pillarbox.Timestamp `json:"last_error_at"`
	LastStored    pillarbox.Timestamp `json:"last_stored"`
	Pending       uint64              `json:"pending"`
	Retrying      uint64              `json:"retrying"`
	OldestPending pillarbox.Timestamp `json:"oldest_pending"`
	Held          uint64              `json:"held"`
	Backfill      uint64              `json:"backfill"`
	DeadLetters   uint64              `json:"dead_letters"`
	Purged        uint64              `json:"purged"`
}

// account is one destination of /api/v1/ledger.
type account struct {
	Destination string            `json:"destination"`
	Accepted    uint64            `json:"accepted"`
	Stored      uint64            `json:"stored"`
	Dead        uint64            `json:"dead"`
	Skipped     uint64            `json:"skipped"`
	SkippedBy   map[string]uint64 `json:"skipped_by"`
	Pending     uint64            `json:"pending"`
	Held        uint64            `json:"held"`
	Backfill    uint64            `json:"backfill"`
	Damaged     uint64            `json:"damaged"`
	Canary      uint64            `json:"canary"` // besides: in none of the others
	Balanced    bool              `json:"balanced"`
}

// balance is the account of a destination as a bar that adds up, beside how the destination is.
type balance struct {
	account
	At    destination
	Name  string
	Parts []part
	Words string // how the delivery is
}

// part is a part of a bar, in thousandths of its width. Each that is not nothing can be seen.
type part struct {
	Kind  string // stored, dead, skipped, pending or damaged
	Count uint64
	X, W  int
}

// barWidth is the width of a bar, in its own units.
const barWidth = 1000

// bar parts the width. What is too small to be seen gets a sliver, from the largest.
func bar(counts ...part) []part {
	total := uint64(0)
	for _, p := range counts {
		total += p.Count
	}
	parts, used, largest := []part{}, 0, -1
	for _, p := range counts {
		if p.Count == 0 {
			continue
		}
		p.W = max(barWidth/100, int(float64(p.Count)/float64(total)*barWidth))
		used += p.W
		if parts = append(parts, p); largest < 0 || p.W > parts[largest].W {
			largest = len(parts) - 1
		}
	}
	if largest >= 0 {
		parts[largest].W += barWidth - used
	}
	x := 0
	for i := range parts {
		parts[i].X = x
		x += parts[i].W
	}
	return parts
}

func balanceOf(a *account, d *destination, now time.Time) balance {
	b := balance{account: *a, At: *d, Name: a.Destination, Words: words(d, now)}
	b.Parts = bar(part{Kind: "stored", Count: a.Stored}, part{Kind: "dead", Count: a.Dead}, part{Kind: "skipped", Count: a.Skipped},
		part{Kind: "pending", Count: a.Pending}, part{Kind: "damaged", Count: a.Damaged})
	return b
}

// words says how the delivery to a destination is.
func words(d *destination, now time.Time) string {
	switch d.State {
	case "":
		return "not in the configuration any more"
	case "down":
		text := "down since " + clock(d.DownSince, now)
		if d.NextProbe != 0 {
			text += ", next look " + in(d.NextProbe, now)
		}
		if d.LastError != "" {
			text += ": " + d.LastError
		}
		return text
	case "paused":
		text := "paused since " + clock(d.PausedSince, now)
		if d.PausedBy != "" {
			text += " by " + d.PausedBy
		}
		if d.PauseReason != "" {
			text += ": " + d.PauseReason
		}
		return text
	case "idle":
		return "nobody delivers"
	case "elsewhere":
		return "another process may deliver"
	case "delivering":
		if d.OldestPending != 0 && now.Sub(d.OldestPending.Time()) > time.Minute {
			return "delivering, the oldest event waits for " + span(now.Sub(d.OldestPending.Time()))
		}
	}
	return d.State
}

// overviewData is what the overview shows.
type overviewData struct {
	Now      pillarbox.Timestamp
	Status   status
	Accepted uint64
	Balances []balance
	Needs    []need
	Full     int    // thousandths of the queue that are in use; -1 where it has no limit
	FullIn   string // if it goes on as it does; empty where it does not fill up
	Charts   []chart
	Span     string // of the charts
}

// need is something that needs a person, and the one next step.
type need struct {
	Severe bool
	What   string
	Step   string // what to do
	Link   string // where; empty for a command
}

func (d *Dashboard) balances(v *view, s *status, now time.Time) (accepted uint64, balances []balance, err error) {
	var ledger struct {
		Accepted     uint64    `json:"accepted"`
		Destinations []account `json:"destinations"`
	}
	if err := d.ask(v.Request, "/api/v1/ledger", &ledger); err != nil {
		return 0, nil, err
	}
	states := map[string]*destination{}
	for i := range s.Destinations {
		states[s.Destinations[i].Destination] = &s.Destinations[i]
	}
	for i := range ledger.Destinations {
		state := states[ledger.Destinations[i].Destination]
		if state == nil {
			state = &destination{}
		}
		balances = append(balances, balanceOf(&ledger.Destinations[i], state, now))
	}
	slices.SortFunc(balances, func(a, b balance) int { return cmp.Compare(a.Name, b.Name) })
	return ledger.Accepted, balances, nil
}

func (d *Dashboard) overview(v *view) (any, error) {
	now := d.opts.Now()
	data := &overviewData{Now: pillarbox.TimestampOf(now), Full: -1, Span: v.FormValue("span")}
	if err := d.ask(v.Request, "/api/v1/status", &data.Status); err != nil {
		return nil, err
	}
	var err error
	if data.Accepted, data.Balances, err = d.balances(v, &data.Status, now); err != nil {
		return nil, err
	}
	if q := data.Status.Queue; q.MaxBytes > 0 {
		data.Full = int(float64(q.Bytes) / float64(q.MaxBytes) * barWidth)
	}
	alerts, err := d.alerting(v)
	if err != nil {
		return nil, err
	}
	data.Needs = worstFirst(append(needs(&data.Status, data.Balances), alerts...))
	var past *history
	if data.Charts, past, err = d.charts(v, &data.Span, now); err != nil {
		return nil, err
	}
	if left := past.fullIn(data.Status.Queue.MaxBytes); left > 0 && left < fullNever {
		if data.FullIn = span(left); left < fullSoon {
			data.Needs = append([]need{{true, "The queue is full in " + data.FullIn + ", if it goes on like this", "see which destination holds it, or raise queue.max_bytes", "/destinations"}},
				data.Needs...)
		}
	}
	return data, nil
}

// needs lists what needs a person.
func needs(s *status, balances []balance) (all []need) {
	add := func(severe bool, link, step, format string, args ...any) {
		all = append(all, need{severe, fmt.Sprintf(format, args...), step, link})
	}
	if !s.Ready {
		add(true, "", "look at the reason; events that were accepted are safe", "The server does not accept events: %s", s.Reason)
	} else if s.Queue.Problem != "" {
		add(true, "", "make room, or look at the disk", "The queue: %s", s.Queue.Problem)
	}
	if s.Disk != "" {
		add(true, "", "look at the disk", "The disk hangs: %s", s.Disk)
	}
	if n := len(s.Queue.Damage); n > 0 {
		add(true, "", "run pillarbox queue verify, with the server stopped", "The log has %d damaged places, the first is %s", n, s.Queue.Damage[0])
	}
	for i := range balances {
		needsOf(&balances[i], add)
	}
	for _, u := range s.Unconfigured {
		add(false, "/destinations", "configure it again, or decide with pillarbox held", "%s is not in the configuration any more, and %d events wait for it",
			u.Destination, u.Pending)
	}
	for _, c := range s.Certificates {
		if c.Problem != "" {
			add(true, "", "renew it; it is read again by itself", "The certificate %s: %s", c.File, c.Problem)
		}
	}
	if s.Encryption != nil && s.Encryption.Problem != "" {
		add(true, "", "look at encryption.key", "No new data key can be made: %s", s.Encryption.Problem)
	}
	if s.Canary != nil && !s.Canary.OK {
		add(true, "", "see where it stops; users' events take the same way", "The canary is not well: %s", s.Canary.Text)
	}
	if s.Quarantine != nil && s.Quarantine.Requests > 0 {
		add(false, "/quarantine", "release or discard them", "%d requests are in quarantine", s.Quarantine.Requests)
	}
	return all
}

func worstFirst(all []need) []need {
	slices.SortStableFunc(all, func(a, b need) int {
		switch {
		case a.Severe == b.Severe:
			return 0
		case a.Severe:
			return -1
		}
		return 1
	})
	return all
}

func needsOf(b *balance, add func(severe bool, link, step, format string, args ...any)) {
	query := "?destination=" + url.QueryEscape(b.Name)
	if !b.Balanced {
		add(true, "/destinations", "run pillarbox audit", "The account of %s does not balance", b.Name)
	}
	if b.Damaged > 0 {
		add(true, "", "run pillarbox queue verify, with the server stopped", "%d events for %s are damaged in the log", b.Damaged, b.Name)
	}
	switch b.At.State {
	case "down":
		add(true, "/destinations#destination-"+b.Name, "see that it answers; delivery goes on by itself", "%s is %s", b.Name, b.Words)
	case "paused":
		add(false, "/destinations#destination-"+b.Name, "resume it", "%s is %s", b.Name, b.Words)
	}
	if b.At.DeadLetters > 0 {
		add(false, "/failures"+query, "mend the cause and replay them", "%s has %d dead letters", b.Name, b.At.DeadLetters)
	}
	if b.Held > 0 {
		add(false, "/destinations#destination-"+b.Name, "decide with pillarbox held", "%d events for %s are held: no destination takes them any more", b.Held, b.Name)
	}
}
