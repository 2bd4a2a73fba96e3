package dashboard

import (
	"cmp"
	"slices"

	"pillarbox"
)

// group is what has failed in one way.
type group struct {
	Destination string              `json:"destination"`
	Cause       string              `json:"cause"`
	Count       uint64              `json:"count"`
	First       pillarbox.Timestamp `json:"first"`
	Last        pillarbox.Timestamp `json:"last"`
	Sample      string              `json:"sample"`
	Error       string              `json:"error"`
	Source      string              `json:"source"`
	Attempts    int                 `json:"attempts"`
	Next        pillarbox.Timestamp `json:"next"`
}

type groups struct {
	Groups     []group             `json:"groups"`
	Others     uint64              `json:"others"`
	Unreadable uint64              `json:"unreadable"`
	AsOf       pillarbox.Timestamp `json:"as_of"`
	Counting   bool                `json:"counting"`
}

// job is a replay or a back-fill.
type job struct {
	Kind        string
	ID          string              `json:"id"`
	Destination string              `json:"destination"`
	State       string              `json:"state"`
	Matched     uint64              `json:"matched"`
	Replayed    uint64              `json:"replayed"`
	Failed      uint64              `json:"failed"`
	Taken       uint64              `json:"taken"`
	Copied      uint64              `json:"copied"`
	Dead        uint64              `json:"dead"`
	Waiting     string              `json:"waiting"`
	Reason      string              `json:"reason"`
	StartedAt   pillarbox.Timestamp `json:"started_at"`
	EndedAt     pillarbox.Timestamp `json:"ended_at"`
}

// maxJobs is how many jobs a page lists, the latest first.
const maxJobs = 20

// Path is where the job is in the API.
func (j job) Path() string { return "/api/v1/" + j.Kind + "s/" + j.ID }

// Done is how many events it has dealt with.
func (j job) Done() uint64 { return j.Replayed + j.Failed + j.Taken + j.Copied + j.Dead }

// failuresData is what the page of failures shows.
type failuresData struct {
	Now      pillarbox.Timestamp
	Asked    asked
	Dead     groups
	Retrying groups
	Jobs     []job
}

func (d *Dashboard) failures(v *view) (any, error) {
	data := &failuresData{Now: pillarbox.TimestampOf(d.opts.Now()), Asked: asked{}}
	for _, name := range []string{"destination", "source", "since", "until", "error"} {
		data.Asked[name] = v.URL.Query().Get(name)
	}
	a := data.Asked
	if err := d.ask(v.Request, "/api/v1/dead-letters/groups"+query("destination", a["destination"], "source", a["source"], "since", a["since"],
		"until", a["until"], "error", a["error"]), &data.Dead); err != nil {
		return nil, err
	}
	if err := d.ask(v.Request, "/api/v1/retrying/groups"+query("destination", a["destination"]), &data.Retrying); err != nil {
		return nil, err
	}
	var err error
	data.Jobs, err = d.jobs(v)
	return data, err
}

// jobs lists replays and back-fills.
func (d *Dashboard) jobs(v *view) ([]job, error) {
	var listed struct {
		Replays   []job `json:"replays"`
		Backfills []job `json:"backfills"`
	}
	for _, path := range []string{"/api/v1/replays", "/api/v1/backfills"} {
		if err := d.ask(v.Request, path, &listed); err != nil {
			return nil, err
		}
	}
	for i := range listed.Replays {
		listed.Replays[i].Kind = "replay"
	}
	for i := range listed.Backfills {
		listed.Backfills[i].Kind = "backfill"
	}
	all := append(listed.Replays, listed.Backfills...)
	slices.SortFunc(all, func(a, b job) int { return cmp.Compare(b.StartedAt, a.StartedAt) })
	return all[:min(len(all), maxJobs)], nil
}

// groupData is what the page of one group shows.
type groupData struct {
	Destination string
	Cause       string
	Letters     []*pillarbox.DeadLetter
	Unreadable  []string
	Next        string
}

func (d *Dashboard) group(v *view) (any, error) {
	values := v.URL.Query()
	data := &groupData{Destination: values.Get("destination"), Cause: values.Get("cause")}
	var page struct {
		DeadLetters []*pillarbox.DeadLetter `json:"dead_letters"`
		NextCursor  string                  `json:"next_cursor"`
		Unreadable  []string                `json:"unreadable"`
	}
	err := d.ask(v.Request, "/api/v1/dead-letters"+query("destination", data.Destination, "cause", data.Cause, "limit", "50",
		"cursor", values.Get("cursor")), &page)
	if err != nil {
		return nil, err
	}
	data.Letters, data.Unreadable = page.DeadLetters, page.Unreadable
	if page.NextCursor != "" {
		data.Next = "/failures/group" + query("destination", data.Destination, "cause", data.Cause, "cursor", page.NextCursor)
	}
	return data, nil
}
