package bus_test

import (
	"fmt"
	"testing"

	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"pillarbox"
	"pillarbox/internal/bus"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/kafka"
	"pillarbox/internal/engine/nats"
)

// perBatch is the size of a batch by default.
const perBatch = 1000

// BenchmarkNATS compares a Write with the bare client that publishes the same messages. Bare makes
// them of the events as a Write does, so that the ratio of events/s is what the engine costs;
// BareMade has them made beforehand, which nobody has who gets events. Each batch is of new events,
// as a duplicate is cheaper.
func BenchmarkNATS(b *testing.B) {
	broker := startNATS(b, nil)
	b.Run("Write", func(b *testing.B) {
		sink := openNATS(b, broker.url("bench.write"), nats.Options{})
		if err := sink.Check(b.Context()); err != nil {
			b.Fatal(err)
		}
		each(b, func(events []*pillarbox.Event) error { return sink.Write(b.Context(), events) })
	})
	for name, made := range map[string]bool{"Bare": false, "BareMade": true} {
		b.Run(name, func(b *testing.B) { bareNATS(b, broker, made) })
	}
}

func bareNATS(b *testing.B, broker *broker, made bool) {
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
	each(b, func(events []*pillarbox.Event) error {
		if made {
			b.StopTimer()
		}
		messages := make([]*client.Msg, len(events))
		for i, event := range events {
			m, err := encoder.Encode(event)
			if err != nil {
				return err
			}
			messages[i] = &client.Msg{Subject: "bench.bare", Data: m.Value, Header: client.Header{client.MsgIdHdr: {fmt.Sprint(event.RequestID, "/bare/", made)}}}
			for _, field := range m.Headers {
				messages[i].Header[field.Name] = []string{field.Value}
			}
		}
		b.StartTimer()
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
	})
}

// BenchmarkKafka is the same with a broker in this process.
func BenchmarkKafka(b *testing.B) {
	cluster := startKafka(b, kfake.SeedTopics(3, "write", "bare"))
	b.Run("Write", func(b *testing.B) {
		sink := openKafka(b, kafkaURL(cluster, "write"), kafka.Options{})
		if err := sink.Check(b.Context()); err != nil {
			b.Fatal(err)
		}
		each(b, func(events []*pillarbox.Event) error { return sink.Write(b.Context(), events) })
	})
	for name, made := range map[string]bool{"Bare": false, "BareMade": true} {
		b.Run(name, func(b *testing.B) { bareKafka(b, cluster, made) })
	}
}

func bareKafka(b *testing.B, cluster *kfake.Cluster, made bool) {
	producer, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.DefaultProduceTopic("bare"))
	if err != nil {
		b.Fatal(err)
	}
	defer producer.Close()
	encoder := encoderOf(b, bus.Kafka)
	each(b, func(events []*pillarbox.Event) error {
		if made {
			b.StopTimer()
		}
		records := make([]*kgo.Record, len(events))
		for i, event := range events {
			m, err := encoder.Encode(event)
			if err != nil {
				return err
			}
			records[i] = &kgo.Record{Key: m.Key, Value: m.Value}
			for _, field := range m.Headers {
				records[i].Headers = append(records[i].Headers, kgo.RecordHeader{Key: field.Name, Value: []byte(field.Value)})
			}
		}
		b.StartTimer()
		return producer.ProduceSync(b.Context(), records...).FirstErr()
	})
}

func encoderOf(b *testing.B, binding bus.Binding) *bus.Encoder {
	b.Helper()
	encoder, err := bus.NewEncoder(binding, bus.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return encoder
}

// each writes batches of events that were not there before, and reports events/s.
func each(b *testing.B, write func(events []*pillarbox.Event) error) {
	b.Helper()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		b.StopTimer()
		n++
		events := enginetest.Events(perBatch, uint64(n))
		b.StartTimer()
		if err := write(events); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n*perBatch)/b.Elapsed().Seconds(), "events/s")
}
