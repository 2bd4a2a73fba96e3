package dashboard

import (
	"errors"
	"net/http"

	"pillarbox"
)

// destinationsData is what the page of destinations shows.
type destinationsData struct {
	Now      pillarbox.Timestamp
	Balances []balance
	Jobs     []job
}

func (d *Dashboard) destinations(v *view) (any, error) {
	now := d.opts.Now()
	data := &destinationsData{Now: pillarbox.TimestampOf(now)}
	var s status
	if err := d.ask(v.Request, "/api/v1/status", &s); err != nil {
		return nil, err
	}
	var err error
	if _, data.Balances, err = d.balances(v, &s, now); err != nil {
		return nil, err
	}
	data.Jobs, err = d.jobs(v)
	return data, err
}

// quarantineData is what the page of the quarantine shows.
type quarantineData struct {
	Entries    []quarantined
	Unreadable []string
	Next       string
	None       bool // nothing is kept on this machine
}

// quarantined is a request that was put aside.
type quarantined struct {
	Reason string           `json:"reason"`
	Event  *pillarbox.Event `json:"event"`
}

func (d *Dashboard) quarantine(v *view) (any, error) {
	data := &quarantineData{}
	var page struct {
		Quarantine []quarantined `json:"quarantine"`
		NextCursor string        `json:"next_cursor"`
		Unreadable []string      `json:"unreadable"`
	}
	err := d.ask(v.Request, "/api/v1/quarantine"+query("limit", "50", "cursor", v.URL.Query().Get("cursor")), &page)
	if isNotFound(err) {
		data.None = true
		return data, nil
	}
	if err != nil {
		return nil, err
	}
	data.Entries, data.Unreadable = page.Quarantine, page.Unreadable
	if page.NextCursor != "" {
		data.Next = "/quarantine" + query("cursor", page.NextCursor)
	}
	return data, nil
}

func isNotFound(err error) bool {
	var problem *apiError
	return errors.As(err, &problem) && problem.Status == http.StatusNotFound
}

// sourcesData is what the page of sources and keys shows.
type sourcesData struct {
	Now     pillarbox.Timestamp
	Sources []struct {
		Source string `json:"source"`
		Path   string `json:"path"`
	}
	Keys    []apiKey
	Problem string // why there are no keys
}

// apiKey is what is known of a key. The key itself is known to nobody.
type apiKey struct {
	ID         string              `json:"id"`
	Name       string              `json:"name"`
	Source     string              `json:"source"`
	CreatedAt  pillarbox.Timestamp `json:"created_at"`
	ExpiresAt  pillarbox.Timestamp `json:"expires_at"`
	RevokedAt  pillarbox.Timestamp `json:"revoked_at"`
	LastUsedAt pillarbox.Timestamp `json:"last_used_at"`
}

func (d *Dashboard) sources(v *view) (any, error) {
	var s status
	if err := d.ask(v.Request, "/api/v1/status", &s); err != nil {
		return nil, err
	}
	data := &sourcesData{Now: pillarbox.TimestampOf(d.opts.Now()), Sources: s.Sources}
	var list struct {
		Keys []apiKey `json:"keys"`
	}
	err := d.ask(v.Request, "/api/v1/keys", &list)
	var problem *apiError
	if errors.As(err, &problem) { // a token that may only read does not see them
		data.Problem = problem.Error()
		return data, nil
	}
	data.Keys = list.Keys
	return data, err
}

// trailData is what the page of the trail shows.
type trailData struct {
	Entries []trailEntry `json:"entries"`
	Head    struct {
		Entries uint64 `json:"entries"`
		Hash    string `json:"hash"`
	} `json:"head"`
	Problems []any `json:"problems"`
	Next     string
	Problem  string
}

// trailEntry is an act.
type trailEntry struct {
	Seq uint64              `json:"seq"`
	At  pillarbox.Timestamp `json:"at"`
	Act *struct {
		Actor   string `json:"actor"`
		Address string `json:"address"`
		Action  string `json:"action"`
		Object  string `json:"object"`
		Request string `json:"request"`
		Result  string `json:"result"`
		Of      uint64 `json:"of"`
	} `json:"act"`
	Erased bool `json:"erased"`
}

// pageTrail is how many entries of the trail a page has.
const pageTrail = 100

func (d *Dashboard) trail(v *view) (any, error) {
	data := &trailData{}
	after := v.URL.Query().Get("after")
	if err := d.ask(v.Request, "/api/v1/trail"+query("limit", "1"), data); err == nil && after == "" {
		if data.Head.Entries > pageTrail { // the latest are what people look for
			after = plain(data.Head.Entries - pageTrail)
		}
	}
	*data = trailData{}
	err := d.ask(v.Request, "/api/v1/trail"+query("limit", plain(pageTrail), "after", after), data)
	var problem *apiError
	if errors.As(err, &problem) && problem.Status != http.StatusUnauthorized {
		data.Problem = problem.Error()
		return data, nil
	}
	if n := len(data.Entries); n == pageTrail {
		data.Next = "/trail" + query("after", plain(data.Entries[n-1].Seq))
	}
	return data, err
}

// configurationData is the configuration in force.
type configurationData struct{ Text string }

func (d *Dashboard) configuration(v *view) (any, error) {
	var got struct {
		Configuration string `json:"configuration"`
	}
	err := d.ask(v.Request, "/api/v1/configuration", &got)
	if isNotFound(err) {
		return &configurationData{}, nil
	}
	return &configurationData{Text: got.Configuration}, err
}
