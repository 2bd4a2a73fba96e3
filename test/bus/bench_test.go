package bus_test

import (
	"fmt"
	"testing"
	"time"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"pillarbox"
	"pillarbox/internal/benchmark/turns"
	"pillarbox/internal/bus"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/kafka"
	"pillarbox/internal/engine/nats"
)

// perBatch is the size of a batch by default.
const perBatch = 1000

// BenchmarkNATS compares a Write with the bare client that sends the same batches. It makes the same
// messages of the events, so that the ratio is what the engine costs.
func BenchmarkNATS(b *testing.B) { compareNATS(b, false) }

// BenchmarkNATSReady compares it with the bare client whose messages are made beforehand, which
// nobody has who gets events.
func BenchmarkNATSReady(b *testing.B) { compareNATS(b, true) }

// BenchmarkKafka is BenchmarkNATS with a broker of Kafka in this process.
func BenchmarkKafka(b *testing.B) { compareKafka(b, false) }

// BenchmarkKafkaReady is BenchmarkNATSReady with it.
func BenchmarkKafkaReady(b *testing.B) { compareKafka(b, true) }

// written is the side of an engine. Each batch is of new events, as a duplicate is cheaper.
func written(b *testing.B, sink pillarbox.Sink) turns.Side {
	if err := sink.Check(b.Context()); err != nil {
		b.Fatal(err)
	}
	return func(n int) (int, time.Duration) {
		events := enginetest.Usual(perBatch, n)
		start := time.Now()
		if err := sink.Write(b.Context(), events); err != nil {
			b.Fatal(err)
		}
		return perBatch, time.Since(start)
	}
}

// sent is the side of a bare client, whose messages are made of the events in its time, or before.
func sent[M any](b *testing.B, ready bool, messageOf func(*pillarbox.Event) (M, error), send func([]M) error) turns.Side {
	return func(n int) (int, time.Duration) {
		events := enginetest.Usual(perBatch, n)
		messages := make([]M, len(events))
		start := time.Now()
		for i, event := range events {
			var err error
			if messages[i], err = messageOf(event); err != nil {
				b.Fatal(err)
			}
		}
		if ready {
			start = time.Now()
		}
		if err := send(messages); err != nil {
			b.Fatal(err)
		}
		return perBatch, time.Since(start)
	}
}

func compareNATS(b *testing.B, ready bool) {
	broker := startNATS(b, nil)
	conn, err := client.Connect("nats://" + broker.addr())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := js.CreateOrUpdateStream(b.Context(), jetstream.StreamConfig{Name: "bare", Subjects: []string{"bench.bare"}}); err != nil {
		b.Fatal(err)
	}
	encoder := encoderOf(b, bus.NATS)
	messageOf := func(event *pillarbox.Event) (*client.Msg, error) {
		m, err := encoder.Encode(event)
		header := client.Header{client.MsgIdHdr: {fmt.Sprint(event.RequestID, "/", event.Timestamp, "/bench.bare")}}
		for _, field := range m.Headers {
			header[field.Name] = []string{field.Value}
		}
		return &client.Msg{Subject: "bench.bare", Data: m.Value, Header: header}, err
	}
	sink := openNATS(b, broker.url("bench.write"), nats.Options{})
	turns.Measure(b, written(b, sink), sent(b, ready, messageOf, func(messages []*client.Msg) error { return publish(js, messages) }))
}

// publish sends all, and then waits for all.
func publish(js jetstream.JetStream, messages []*client.Msg) (err error) {
	futures := make([]jetstream.PubAckFuture, len(messages))
	for i, m := range messages {
		if futures[i], err = js.PublishMsgAsync(m); err != nil {
			return err
		}
	}
	for _, future := range futures {
		select {
		case <-future.Ok():
		case err := <-future.Err():
			return err
		}
	}
	return nil
}

func compareKafka(b *testing.B, ready bool) {
	cluster := startKafka(b, kfake.SeedTopics(3, "write", "bare"))
	producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DefaultProduceTopic("bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer producer.Close()
	encoder := encoderOf(b, bus.Kafka)
	recordOf := func(event *pillarbox.Event) (*kgo.Record, error) {
		m, err := encoder.Encode(event)
		record := &kgo.Record{Key: m.Key, Value: m.Value}
		for _, field := range m.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: field.Name, Value: []byte(field.Value)})
		}
		return record, err
	}
	sink := openKafka(b, kafkaURL(cluster, "write"), kafka.Options{})
	turns.Measure(b, written(b, sink), sent(b, ready, recordOf, func(records []*kgo.Record) error {
		return producer.ProduceSync(b.Context(), records...).FirstErr()
	}))
}

func encoderOf(b *testing.B, binding bus.Binding) *bus.Encoder {
	b.Helper()
	encoder, err := bus.NewEncoder(binding, bus.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return encoder
}
