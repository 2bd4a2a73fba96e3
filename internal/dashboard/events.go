package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"pillarbox"
)

// pageEvents is how many rows a page has.
const pageEvents = 50

// eventsData is what the list of events shows.
type eventsData struct {
	Destinations []string // that may be read back
	Sources      []string
	Asked        asked
	Rows         []*pillarbox.Event
	Unreadable   []string
	Next         string // address of the next page; empty on the last
	Problem      string // why nothing is shown
	Follow       string // address of the live view; empty where there is a problem
	Send         sending
}

// Fields are the filters that are written.
func (d *eventsData) Fields() []field {
	fields := []field{{"since", "Since", "24h", ""}, {"until", "Before", "2026-11-23T14:12:00Z", ""}, {"id", "Request id", "", ""},
		{"text", "Text in the body", "", ""}, {"header", "Header", "X-Shop=7", ""}, {"json", "JSON pointer", "/order/id=42", ""},
		{"content_type", "Content type", "application/json", ""}, {"method", "Method", "POST", ""}, {"path", "Path", "/app", ""},
		{"ce_type", "Type (CloudEvents)", "", ""}}
	for i := range fields {
		fields[i].Value = d.Asked[fields[i].Name]
	}
	return fields
}

type field struct{ Name, Label, Example, Value string }

// sending is what the form to send an event begins with.
type sending struct {
	Sources                          []string
	Source, ContentType, Query, Body string
	CopyOf                           string // the event that it is an edited copy of; empty for a test event
}

// asked is what was asked for: the parameters of the API, as they were written.
type asked map[string]string

// filters are the parameters of the list, in the order of the form.
var filters = []string{"destination", "source", "since", "until", "id", "ce_type", "content_type", "method", "path", "text", "order"}

// pairFilters are filters whose name is written by a person, beside a value: name=value in one field.
var pairFilters = []string{"header", "json"}

func (d *Dashboard) events(v *view) (any, error) {
	var s status
	if err := d.ask(v.Request, "/api/v1/status", &s); err != nil {
		return nil, err
	}
	data := &eventsData{Asked: asked{}}
	for i := range s.Destinations {
		data.Destinations = append(data.Destinations, s.Destinations[i].Destination)
	}
	for _, source := range s.Sources {
		data.Sources = append(data.Sources, source.Source)
	}
	data.Send = sending{Sources: data.Sources, ContentType: "application/json", Body: `{"hello":"world"}`}
	pairs := []string{"limit", plain(pageEvents)}
	values := v.URL.Query()
	for _, name := range filters {
		data.Asked[name] = values.Get(name)
	}
	if data.Asked["destination"] == "" {
		data.Asked["destination"] = firstReadable(s.Destinations)
	}
	if data.Asked["order"] == "" {
		data.Asked["order"] = "desc"
	}
	for _, name := range filters {
		pairs = append(pairs, name, data.Asked[name])
	}
	shown := slices.Clone(pairs) // as addresses of this page have them
	for _, kind := range pairFilters {
		if data.Asked[kind] = values.Get(kind); data.Asked[kind] != "" {
			name, value, found := strings.Cut(data.Asked[kind], "=")
			if !found || name == "" || value == "" {
				data.Problem = fmt.Sprintf("The filter %q is written name=value, and this is %q.", kind, data.Asked[kind])
				return data, nil
			}
			pairs = append(pairs, kind+"."+name, value)
			shown = append(shown, kind, data.Asked[kind])
		}
	}
	var page struct {
		Events     []*pillarbox.Event `json:"events"`
		NextCursor string             `json:"next_cursor"`
		Unreadable []string           `json:"unreadable"`
	}
	if err := d.ask(v.Request, "/api/v1/events"+query(append(pairs, "cursor", values.Get("cursor"))...), &page); err != nil {
		data.Problem = err.Error() // a filter that is wrong is told beside the form
		return data, known(err)
	}
	data.Rows, data.Unreadable = page.Events, page.Unreadable
	data.Follow = "/api/v1/events" + query(append(following(pairs), "follow", "true")...)
	if page.NextCursor != "" {
		data.Next = "/events" + query(append(shown[2:], "cursor", page.NextCursor)...)
	}
	return data, nil
}

// following are the parameters that a live view takes: it goes on for ever, oldest first.
func following(pairs []string) (left []string) {
	for i := 0; i+1 < len(pairs); i += 2 {
		if !slices.Contains([]string{"limit", "until", "order"}, pairs[i]) {
			left = append(left, pairs[i], pairs[i+1])
		}
	}
	return left
}

// known is nil for what a person can set right on the page, and the error else.
func known(err error) error {
	if problem, ok := err.(*apiError); ok {
		switch problem.Status {
		case http.StatusBadRequest, http.StatusNotFound, http.StatusServiceUnavailable, http.StatusConflict:
			return nil
		}
	}
	return err
}

// firstReadable is the first destination whose events can be read back, as far as its address tells.
func firstReadable(all []destination) string {
	for i := range all {
		scheme, _, _ := strings.Cut(all[i].URL, ":")
		if slices.Contains([]string{"sqlite", "postgres", "postgresql", "parquet", "parquet+s3", "dynamodb"}, scheme) {
			return all[i].Destination
		}
	}
	return ""
}

// eventData is one event with its whole story.
type eventData struct {
	Event      *pillarbox.Event
	State      string
	Deliveries []delivery
	Headers    []header
	Facts      []header
	Body       shownBody
	CopyOf     string
	Story      []step
	Send       sending
}

type header struct{ Name, Value string }

// delivery is how an event stands at a destination.
type delivery struct {
	Destination string              `json:"destination"`
	State       string              `json:"state"`
	Attempts    []pillarbox.Attempt `json:"attempts"`
	StoredAt    pillarbox.Timestamp `json:"stored_at"`
	Reason      string              `json:"reason"`
	Where       string              `json:"where"`
	DeadAt      pillarbox.Timestamp `json:"dead_at"`
	DeathReason string              `json:"death_reason"`
	PurgedAt    pillarbox.Timestamp `json:"purged_at"`
	Replay      string              `json:"replay"`
	Resolved    *struct {
		At  pillarbox.Timestamp `json:"at"`
		How string              `json:"how"`
	} `json:"resolved"`
}

// step is one thing that has happened to an event.
type step struct {
	At    pillarbox.Timestamp
	Where string // the destination; empty for what has happened here
	What  string
	Why   string
	Class string
}

func (d *Dashboard) event(v *view) (any, error) {
	id := v.PathValue("id")
	var raw json.RawMessage
	if err := d.ask(v.Request, "/api/v1/events/"+escape(id), &raw); err != nil {
		return nil, err
	}
	data := &eventData{Event: &pillarbox.Event{}}
	var more struct {
		State      string     `json:"state"`
		Deliveries []delivery `json:"deliveries"`
	}
	if err := json.Unmarshal(raw, &more); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, data.Event); err != nil {
		return nil, err
	}
	data.State, data.Deliveries = more.State, more.Deliveries
	for _, field := range data.Event.Header {
		data.Headers = append(data.Headers, header{field.Name, field.Value})
		if strings.EqualFold(field.Name, copyHeader) {
			data.CopyOf = field.Value
		}
	}
	data.Facts = facts(data.Event.Facts)
	data.Body = showBody(data.Event)
	data.Story = story(data)
	data.Send = sending{Source: data.Event.Source, ContentType: data.Event.ContentType, Query: data.Event.Query, CopyOf: data.Event.RequestID}
	if utf8.Valid(data.Event.Body) { // what is no text can't be edited in a form
		data.Send.Body = string(data.Event.Body)
	}
	var s status
	if err := d.ask(v.Request, "/api/v1/status", &s); err != nil {
		return nil, err
	}
	for _, source := range s.Sources {
		data.Send.Sources = append(data.Send.Sources, source.Source)
	}
	return data, nil
}

// copyHeader names the event that an edited copy was made from.
const copyHeader = "Pillarbox-Copy-Of"

func facts(f *pillarbox.Facts) (all []header) {
	if f == nil {
		return nil
	}
	names := pillarbox.FactNames()
	for i, text := range f.Texts() {
		if *text != "" {
			all = append(all, header{names[i], *text})
		}
	}
	for _, attribute := range f.Attributes {
		all = append(all, header{attribute.Name, attribute.Value})
	}
	return all
}

// story puts what is known in the order of time. Attempts keep their numbers.
func story(data *eventData) (steps []step) {
	steps = append(steps, step{At: data.Event.Timestamp, What: "accepted and durable", Class: "stored",
		Why: "from " + data.Event.RemoteAddr + " by " + data.Event.Method + " " + data.Event.Path})
	for i := range data.Deliveries {
		d := &data.Deliveries[i]
		for n, attempt := range d.Attempts {
			steps = append(steps, step{attempt.At, d.Destination, "attempt " + count(n+1) + ": " + attempt.Class, attempt.Error, "dead"})
		}
		if d.DeadAt != 0 {
			why := d.DeathReason
			if why == "" {
				why = d.Reason
			}
			steps = append(steps, step{d.DeadAt, d.Destination, "became a dead letter", why, "dead"})
		}
		if d.Resolved != nil {
			steps = append(steps, step{d.Resolved.At, d.Destination, "its dead letter was " + d.Resolved.How, "", "stored"})
		}
		if d.PurgedAt != 0 {
			steps = append(steps, step{d.PurgedAt, d.Destination, "purged", "", "skipped"})
		}
		if d.StoredAt != 0 {
			steps = append(steps, step{d.StoredAt, d.Destination, "stored", "", "stored"})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int {
		switch {
		case a.At < b.At:
			return -1
		case a.At > b.At:
			return 1
		}
		return 0
	})
	for i := range data.Deliveries {
		if d := &data.Deliveries[i]; d.StoredAt == 0 && d.DeadAt == 0 {
			steps = append(steps, step{0, d.Destination, d.State, skipWords(d), d.State})
		}
	}
	return steps
}

func skipWords(d *delivery) string {
	switch d.Reason {
	case "filter":
		return "its filter does not take it: " + d.Where
	case "source":
		return "it does not take this source"
	case "before":
		return "it was accepted before the destination began"
	case "elsewhere":
		return "another destination took it over"
	case "routed":
		return "a person gave it to another destination"
	case "forgotten":
		return "a person gave it up"
	}
	return d.Reason
}
