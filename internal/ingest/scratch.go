package ingest

import (
	"cmp"
	"sync"
	"time"

	"pillarbox"
	"pillarbox/internal/source"
)

// scratch is the memory of one call of Accept. It is used again: a queue keeps nothing of what it
// was given.
type scratch struct {
	events   []pillarbox.Event
	pointers []*pillarbox.Event
	indexes  []int // of events among the requests
	fields   pillarbox.Header
	facts    []pillarbox.Facts    // of the events of which something is known
	claims   []pillarbox.KeyClaim // one for each of pointers, where one of them has a key
	twins    []twin
	keyed    bool

	recorded     bool      // one of the requests has a span
	began, ended time.Time // of the append; zero where there was none

	ids []byte // one after the other, each of idBytes

	kept kept // of the event that is being added

	// Of the last event that was added with a header.
	from    *source.Source
	header  pillarbox.Header
	keeps   pillarbox.Header // what is kept of it
	removed source.Removed   // and what is not
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// maxScratchEvents bounds what is kept for the next call. A larger batch makes its own.
const maxScratchEvents = 4096

// add makes the event of the request at an index. Its id may be missing: finish makes them all with
// one allocation.
func (s *scratch) add(index int, at stamp, request *Request, kept *kept) {
	from := request.Grant.Source()
	s.indexes = append(s.indexes, index)
	s.ids = appendRequestID(s.ids, at)
	parent := ValidTraceparent(request.Traceparent)
	if request.Span != nil {
		parent, s.recorded = request.Span.Traceparent(), true
	}
	s.events = append(s.events, pillarbox.Event{
		RequestID: request.RequestID, Timestamp: cmp.Or(request.Timestamp, at.timestamp()), Source: from.Name, Method: request.Method, Path: request.Path,
		Query: kept.query, Header: s.keep(from, request.Header, &kept.removed),
		ContentType: request.ContentType, RemoteAddr: request.RemoteAddr,
		Traceparent: parent, Body: kept.body,
	})
}

// kept is what is kept of a request beside its header.
type kept struct {
	query   string
	body    []byte
	removed source.Removed
}

// know gives the last event its facts, if there are any, with what is not kept of it. Where the memory for them grows, those of the events before
// stay where they are.
func (s *scratch) know(facts pillarbox.Facts, known bool) {
	if facts.Removed = s.kept.removed.String(); !known && facts.Removed == "" {
		return
	}
	s.facts = append(s.facts, facts)
	s.events[len(s.events)-1].Facts = &s.facts[len(s.facts)-1]
}

// keepNew begins with another event. What it returns is good until the next call.
func (s *scratch) keepNew() *kept {
	s.kept = kept{}
	return &s.kept
}

// keep is what is kept of a header. The items of a batch come with one and the same.
func (s *scratch) keep(from *source.Source, header pillarbox.Header,
	removed *source.Removed) pillarbox.Header {
	if len(header) == 0 {
		return nil
	}
	if from == s.from && len(header) == len(s.header) && &header[0] == &s.header[0] {
		removed.Add(&s.removed)
		return s.keeps
	}
	first := len(s.fields)
	s.removed = source.Removed{}
	s.fields = from.Keep(s.fields, header, &s.removed)
	removed.Add(&s.removed)
	s.from, s.header, s.keeps = from, header, s.fields[first:len(s.fields):len(s.fields)]
	return s.keeps
}

// finish gives ids to the events that have none. They outlive the call as parts of the receipts.
func (s *scratch) finish() {
	ids := string(s.ids)
	for i := range s.events {
		event := &s.events[i]
		if event.RequestID == "" {
			event.RequestID = ids[i*idBytes : (i+1)*idBytes]
		}
		s.pointers = append(s.pointers, event)
	}
}

// release gives the scratch back, without what it points to.
func (s *scratch) release() {
	if cap(s.events) > maxScratchEvents || cap(s.fields) > 16*maxScratchEvents {
		return
	}
	clear(s.events)
	clear(s.pointers)
	clear(s.fields)
	clear(s.facts)
	s.facts = s.facts[:0]
	clear(s.claims)
	s.claims, s.twins, s.keyed = s.claims[:0], s.twins[:0], false
	s.kept = kept{}
	s.recorded, s.began, s.ended = false, time.Time{}, time.Time{}
	s.from, s.header, s.keeps, s.removed = nil, nil, nil, source.Removed{}
	s.events, s.pointers, s.indexes, s.fields, s.ids = s.events[:0], s.pointers[:0], s.indexes[:0], s.fields[:0], s.ids[:0]
	scratches.Put(s)
}
