package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"pillarbox"
	"pillarbox/internal/bus"
)

// batch is a Write on its way.
type batch struct {
	sink    *Sink
	records []*kgo.Record // of the events that can be sent
	places  []int         // of those among the events
	items   []pillarbox.ItemError
	events  int
	split   error // why the batch is refused as a whole, to be split
}

// batchOf makes the records. What can't be one is refused.
func (s *Sink) batchOf(events []*pillarbox.Event) *batch {
	b := &batch{sink: s, events: len(events), records: make([]*kgo.Record, 0, len(events)), places: make([]int, 0, len(events))}
	for i, event := range events {
		m, err := s.encoder.Encode(event)
		if limit := int(s.maxBytes.Load()); err == nil && sizeOf(&m) > limit {
			err = b.tooLarge(fmt.Errorf("the record is larger than the topic takes (max.message.bytes: %d bytes)", limit))
		}
		if err != nil {
			b.fail(i, err)
			continue
		}
		headers := make([]kgo.RecordHeader, len(m.Headers))
		for h, field := range m.Headers {
			headers[h] = kgo.RecordHeader{Key: field.Name, Value: []byte(field.Value)}
		}
		b.records = append(b.records, &kgo.Record{Key: m.Key, Value: m.Value, Headers: headers})
		b.places = append(b.places, i)
	}
	return b
}

// sizeOf is how large a batch with this record alone is at most, in bytes, before it is compressed.
func sizeOf(m *bus.Message) int {
	size := recordOverhead + len(m.Key) + len(m.Value)
	for _, field := range m.Headers {
		size += headerOverhead + len(field.Name) + len(field.Value)
	}
	return size
}

func (b *batch) fail(i int, err error) {
	b.items = append(b.items, pillarbox.ItemError{Index: i, Err: err})
}

// produce sends the records and waits for the answers. An error says that nothing is known.
func (b *batch) produce(ctx context.Context) error {
	answers := make(chan kgo.ProduceResults, 1)
	go func() { answers <- b.sink.client.ProduceSync(ctx, b.records...) }()
	select {
	case results := <-answers:
		b.sort(results)
		return nil
	case <-ctx.Done():
		// The client may be about to give up, and may not: what it has sent, it does not take back.
		return b.sink.unknown(ctx.Err())
	}
}

// sort notes what has failed.
func (b *batch) sort(results kgo.ProduceResults) {
	if results.FirstErr() == nil {
		return
	}
	places := make(map[*kgo.Record]int, len(b.records))
	for i, record := range b.records {
		places[record] = b.places[i]
	}
	for _, result := range results {
		if result.Err != nil {
			b.fail(places[result.Record], b.errorOf(result.Err))
		}
	}
}

// refusals are the errors of brokers that are about a record, and will always be. All else is an
// outage: there is nothing in a record that a broker could mind, and what an operator has set can be
// set otherwise.
var refusals = []error{kerr.InvalidRecord, kerr.InvalidTimestamp, kerr.UnsupportedForMessageFormat}

func (b *batch) errorOf(err error) error {
	for _, refusal := range refusals {
		if errors.Is(err, refusal) {
			return pillarbox.Permanent(fmt.Errorf("%s: %w", b.sink, err))
		}
	}
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		// A broker says so of a batch of its own, with others in it that are not to blame.
		if refused := b.tooLarge(err); b.events > 1 {
			b.split = refused
		}
		return b.tooLarge(err)
	case isUnknown(err):
		return b.sink.unknown(err)
	}
	return b.sink.unavailable(err)
}

func (b *batch) tooLarge(err error) error {
	return pillarbox.Permanent(fmt.Errorf("%s: %w: %w", b.sink, err, pillarbox.ErrTooLarge))
}

// isUnknown reports whether a record with that error may be stored all the same.
func isUnknown(err error) bool {
	for _, late := range []error{context.Canceled, context.DeadlineExceeded, kgo.ErrRecordTimeout, kgo.ErrRecordRetries,
		kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend} {
		if errors.Is(err, late) {
			return true
		}
	}
	return false
}

// isGone reports whether the topic is not the one that the client knows, or a record was on its way
// when that was found.
func isGone(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) || errors.Is(err, kerr.InconsistentTopicID)
}

func (s *Sink) unknown(err error) error {
	return fmt.Errorf("%s: no answer to a record: %w: %w: %w", s, err, pillarbox.ErrUnavailable, pillarbox.ErrUnknown)
}

// err is that of the Write. Where the batch is to be split, what of it is stored already is stored
// once more.
func (b *batch) err() error {
	switch {
	case b.split != nil:
		return b.split
	case len(b.items) == 0:
		return nil
	case len(b.items) < b.events:
		return &pillarbox.BatchError{Items: b.items}
	}
	for _, item := range b.items {
		if pillarbox.IsPermanent(item.Err) {
			return &pillarbox.BatchError{Items: b.items}
		}
	}
	return b.items[0].Err // an outage, of all
}
