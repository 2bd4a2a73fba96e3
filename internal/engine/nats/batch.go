package nats

import (
	"context"
	"errors"
	"fmt"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"pillarbox"
)

// batch is a Write on its way.
type batch struct {
	sink    *Sink
	conn    *connection
	ctx     context.Context
	futures []jetstream.PubAckFuture // nil where nothing was sent
	items   []pillarbox.ItemError
	stored  int
	broken  error // an outage after which nothing more is sent
}

func (b *batch) fail(i int, err error) {
	b.items = append(b.items, pillarbox.ItemError{Index: i, Err: err})
}

// publish sends the message of an event, unless there is an outage already.
func (b *batch) publish(i int, event *pillarbox.Event) {
	if b.broken != nil {
		b.fail(i, b.broken)
		return
	}
	m, err := b.sink.encoder.Encode(event)
	if err != nil {
		b.fail(i, err)
		return
	}
	header := make(client.Header, len(m.Headers)+1)
	for _, field := range m.Headers {
		header[field.Name] = []string{field.Value}
	}
	header[client.MsgIdHdr] = []string{messageID(event.RequestID, event.Timestamp.String(), b.sink.subject)}
	b.futures[i], err = b.conn.js.PublishMsgAsync(
		&client.Msg{Subject: b.sink.subject, Data: m.Value, Header: header}, jetstream.WithRetryAttempts(0))
	if err != nil {
		b.fail(i, b.errorOf(err))
	}
}

// await waits for the answer to a message.
func (b *batch) await(i int) {
	future := b.futures[i]
	if future == nil {
		return
	}
	b.futures[i] = nil
	select {
	case <-future.Ok():
		b.stored++ // a duplicate is stored, too
		return
	case err := <-future.Err():
		b.fail(i, b.errorOf(err))
		return
	case <-b.conn.lost:
	case <-b.ctx.Done():
	}
	// The answer may have come together with the end.
	select {
	case <-future.Ok():
		b.stored++
		return
	default:
	}
	// What is still on its way here is of no use to anybody: the client would keep it for ever.
	b.conn.client.Close()
	b.broken = fmt.Errorf("%s: no answer to a message: %w: %w", b.sink, b.why(), pillarbox.ErrUnavailable)
	b.fail(i, fmt.Errorf("%w: %w", b.broken, pillarbox.ErrUnknown))
}

// why is the reason of what has no answer.
func (b *batch) why() error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	return client.ErrConnectionClosed
}

// Errors of the server that are about one message, and will always be.
const (
	codeTooLarge       = jetstream.JSErrCodeStreamMessageExceedsMaximum
	codeHeaderTooLarge = jetstream.ErrorCode(10097)
)

// errorOf sorts errors: a message that is too large is refused for good. All else is an outage, as
// there is nothing else in a message that a server could mind.
func (b *batch) errorOf(err error) error {
	var refusal *jetstream.APIError
	known := errors.As(err, &refusal)
	switch {
	case errors.Is(err, client.ErrMaxPayload):
		return pillarbox.Permanent(fmt.Errorf("%s: the message is larger than the server takes (max_payload: %d bytes): %w",
			b.sink, b.conn.client.MaxPayload(), pillarbox.ErrTooLarge))
	case known && (refusal.ErrorCode == codeTooLarge || refusal.ErrorCode == codeHeaderTooLarge):
		return pillarbox.Permanent(fmt.Errorf("%s: %w: %w", b.sink, err, pillarbox.ErrTooLarge))
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		b.sink.lookAgain(b.conn)
		err = fmt.Errorf("%w (no stream has the subject, or JetStream is off)", err)
	case !known:
		b.broken = b.sink.unavailable(err)
		return b.broken
	}
	return b.sink.unavailable(err)
}

// err is that of the Write.
func (b *batch) err() error {
	if len(b.items) == 0 {
		return nil
	}
	for _, item := range b.items {
		if b.stored > 0 || pillarbox.IsPermanent(item.Err) {
			return &pillarbox.BatchError{Items: b.items}
		}
	}
	return b.items[0].Err // an outage, of all
}
