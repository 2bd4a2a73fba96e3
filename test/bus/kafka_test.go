package bus_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"pillarbox"
	"pillarbox/internal/bus"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/kafka"
)

// startKafka starts one broker, of topics with three partitions.
func startKafka(t testing.TB, options ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.DefaultNumPartitions(3)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster
}

func kafkaURL(cluster *kfake.Cluster, topic string) string {
	return "kafka://" + strings.Join(cluster.ListenAddrs(), ",") + "/" + topic
}

func openKafka(t testing.TB, url string, opts kafka.Options) *kafka.Sink {
	t.Helper()
	sink, err := kafka.Open(url, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

// records are all that a topic holds.
func records(t testing.TB, cluster *kfake.Cluster, topic string, options ...kgo.Opt) (all []*kgo.Record) {
	t.Helper()
	left := int64(0)
	for _, partition := range cluster.PartitionInfos(topic) {
		left += partition.HighWatermark
	}
	client, err := kgo.NewClient(append(options, kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for int64(len(all)) < left {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err0(); err != nil {
			t.Fatal(err)
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

// wantRecords sees that the events are in the topic byte for byte, and nothing else. It returns how
// often the most frequent one is there.
func wantRecords(t *testing.T, all []*kgo.Record, events []*pillarbox.Event) (most int) {
	t.Helper()
	got, times, partitions := map[pillarbox.Key]*pillarbox.Event{}, map[pillarbox.Key]int{}, map[pillarbox.Key]int32{}
	for _, record := range all {
		event := new(pillarbox.Event)
		if err := json.Unmarshal(record.Value, event); err != nil {
			t.Fatal(err)
		}
		key := event.Key()
		if header(record, bus.HeaderID) != event.RequestID || string(record.Key) != event.RequestID {
			t.Errorf("event %s is named %s and %s", event.RequestID, header(record, bus.HeaderID), record.Key)
		}
		if times[key] > 0 && partitions[key] != record.Partition {
			t.Errorf("event %s is in two partitions", event.RequestID)
		}
		got[key], partitions[key] = event, record.Partition
		times[key]++
		most = max(most, times[key])
	}
	if len(got) != len(events) {
		t.Errorf("%d events are stored, want %d", len(got), len(events))
	}
	for _, want := range events {
		text, err := want.MarshalJSON()
		sorted := new(pillarbox.Event) // JSON sorts the names of headers
		if err = errors.Join(err, json.Unmarshal(text, sorted)); err != nil {
			t.Fatal(err)
		}
		if event := got[want.Key()]; event == nil {
			t.Errorf("event %s is not stored", want.RequestID)
		} else if diff := enginetest.Diff(event, sorted); diff != "" {
			t.Errorf("event %s: %s", want.RequestID, diff)
		}
	}
	return most
}

func header(record *kgo.Record, name string) string {
	for _, field := range record.Headers {
		if field.Key == name {
			return string(field.Value)
		}
	}
	return ""
}

// TestKafkaKeepsTheContract of destinations, each on a topic that is not there yet.
func TestKafkaKeepsTheContract(t *testing.T) {
	cluster, n := startKafka(t), 0
	enginetest.Sink(t, func(t *testing.T) pillarbox.Sink {
		n++
		return openKafka(t, kafkaURL(cluster, fmt.Sprintf("contract-%d", n)), kafka.Options{})
	})
}

// TestKafkaStoresEveryEvent once where nothing fails, and what comes twice in one call twice, in the
// same partition.
func TestKafkaStoresEveryEvent(t *testing.T) {
	cluster := startKafka(t)
	sink := openKafka(t, kafkaURL(cluster, "events"), kafka.Options{})
	events := enginetest.Events(3000, 1)
	if err := sink.Write(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if most := wantRecords(t, records(t, cluster, "events"), events); most != 1 {
		t.Errorf("an event is there %d times", most)
	}
	if err := sink.Write(t.Context(), []*pillarbox.Event{events[0], events[0], events[1]}); err != nil {
		t.Fatal(err)
	}
	if most := wantRecords(t, records(t, cluster, "events"), events); most != 3 {
		t.Errorf("an event that was written three times is there %d times", most)
	}
}

// TestKafkaMakesATopicWhereNoneIs, warns of few replicas once, and makes one anew that was deleted.
func TestKafkaMakesATopicWhereNoneIs(t *testing.T) {
	cluster := startKafka(t, kfake.BrokerConfigs(map[string]string{"default.replication.factor": "1"}))
	var log lockedText
	sink := openKafka(t, kafkaURL(cluster, "new"), kafka.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err := sink.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(cluster.PartitionInfos("new")); n != 3 {
		t.Errorf("the topic is made with %d partitions, want those of the broker", n)
	}
	events := enginetest.Events(10, 2)
	if err := sink.Write(t.Context(), events[:5]); err != nil {
		t.Fatal(err)
	}
	if err := cluster.DeleteTopic("new"); err != nil {
		t.Fatal(err)
	}
	for {
		err := sink.Write(t.Context(), events)
		if err == nil {
			break
		}
		if !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err) {
			t.Fatalf("without a topic: %v", err)
		}
	}
	wantRecords(t, records(t, cluster, "new"), events)
	if said := strings.Count(log.String(), "few replicas"); said != 1 {
		t.Errorf("few replicas are told of %d times: %s", said, log.String())
	}
}

// TestKafkaRefusesWhatIsTooLarge for good, alone; and has a batch split that a broker finds too large.
func TestKafkaRefusesWhatIsTooLarge(t *testing.T) {
	cluster := startKafka(t)
	limit := "16384"
	if err := cluster.CreateTopic("small", 1, map[string]string{"max.message.bytes": limit}); err != nil {
		t.Fatal(err)
	}
	sink := openKafka(t, kafkaURL(cluster, "small"), kafka.Options{})
	events := enginetest.Events(5, 3)
	for _, event := range events {
		event.Body = event.Body[:min(len(event.Body), 100)]
	}
	large := enginetest.Clone(events[2])
	large.Body = make([]byte, 16<<10)
	err := sink.Write(t.Context(), []*pillarbox.Event{events[0], events[1], large, events[3], events[4]})
	var batch *pillarbox.BatchError
	if !errors.As(err, &batch) || len(batch.Items) != 1 || batch.Items[0].Index != 2 || !pillarbox.IsPermanent(batch.Items[0].Err) ||
		!errors.Is(err, pillarbox.ErrTooLarge) {
		t.Errorf("an event that is too large: %v", err)
	}
	wantRecords(t, records(t, cluster, "small"), []*pillarbox.Event{events[0], events[1], events[3], events[4]})
	for n, isBatch := range map[int]bool{4: false, 1: true} {
		cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.MessageTooLarge})
		err := sink.Write(t.Context(), events[:n])
		if errors.As(err, &batch) != isBatch || !pillarbox.IsPermanent(err) {
			t.Errorf("%d events that a broker finds too large: %v", n, err)
		}
	}
}

// TestKafkaRefusesWhatIsNoRecord for good, and its neighbours are stored.
func TestKafkaRefusesWhatIsNoRecord(t *testing.T) {
	cluster := startKafka(t)
	events := enginetest.Usual(3, 1)
	events[0].Timestamp = math.MaxInt64 // no year has it
	err := openKafka(t, kafkaURL(cluster, "some"), kafka.Options{}).Write(t.Context(), events)
	var batch *pillarbox.BatchError
	if !errors.As(err, &batch) || len(batch.Items) != 1 || batch.Items[0].Index != 0 || !pillarbox.IsPermanent(batch.Items[0].Err) {
		t.Fatalf("an event that is no record: %v", err)
	}
	if all := records(t, cluster, "some"); len(all) != 2 {
		t.Errorf("beside an event that is no record, %d are stored", len(all))
	}
}

// TestKafkaRefusesSome: where a broker refuses the records of one partition, the events that are told
// are those, whatever the order of its answers.
func TestKafkaRefusesSome(t *testing.T) {
	cluster := startKafka(t, kfake.SeedTopics(3, "some"))
	sink := openKafka(t, kafkaURL(cluster, "some"), kafka.Options{})
	events := enginetest.Usual(60, 2)
	for partition := range int32(3) {
		fault := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Partitions: []int32{partition}, Err: kerr.InvalidRecord, Count: -1})
		part := events[20*partition:][:20]
		err := sink.Write(t.Context(), part)
		fault.Remove()
		refused := map[string]bool{}
		var batch *pillarbox.BatchError
		if errors.As(err, &batch) {
			for _, item := range batch.Items {
				refused[part[item.Index].RequestID] = true
			}
		}
		stored := map[string]bool{}
		for _, record := range records(t, cluster, "some") {
			stored[string(record.Key)] = true
		}
		for _, event := range part {
			switch id := event.RequestID; {
			case stored[id] && refused[id]:
				t.Errorf("event %s is stored and refused", id)
			case !stored[id] && !refused[id]:
				t.Errorf("event %s is neither stored nor refused", id)
			}
		}
		if len(refused) == 0 || len(refused) == len(part) {
			t.Errorf("%d of %d are refused: nothing was tried", len(refused), len(part))
		}
	}
}

// TestKafkaSortsErrors: what an operator can mend is an outage, and what a record is refused for is
// refused for good.
func TestKafkaSortsErrors(t *testing.T) {
	cluster := startKafka(t)
	sink := openKafka(t, kafkaURL(cluster, "errors"), kafka.Options{})
	if err := sink.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	events := enginetest.Events(3, 4)
	for _, c := range []struct {
		err                *kerr.Error
		permanent, unknown bool
	}{
		{kerr.InvalidRecord, true, false}, {kerr.InvalidTimestamp, true, false}, {kerr.TopicAuthorizationFailed, false, false},
		{kerr.UnknownServerError, false, false}, {kerr.NotEnoughReplicas, false, true}, {kerr.NotEnoughReplicasAfterAppend, false, true},
	} {
		fault := cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: c.err, Count: -1})
		ctx, cancel := contextOf(t, 2*time.Second)
		err := sink.Write(ctx, events)
		cancel()
		fault.Remove()
		if err == nil || pillarbox.IsPermanent(err) != c.permanent || errors.Is(err, pillarbox.ErrUnavailable) == c.permanent ||
			errors.Is(err, pillarbox.ErrUnknown) != c.unknown {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}

// cutter is a listener whose connections end after a number of bytes that is drawn.
type cutter struct {
	net.Listener
	most *atomic.Int64 // 0 for any number
	cuts *atomic.Int64
	mu   sync.Mutex
	rng  *rand.Rand
}

func (c *cutter) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	if most := c.most.Load(); err == nil && most > 0 {
		c.mu.Lock()
		defer c.mu.Unlock()
		cut := &cutConn{Conn: conn, cuts: c.cuts}
		cut.left.Store(1 + c.rng.Int64N(most))
		return cut, nil
	}
	return conn, err
}

type cutConn struct {
	net.Conn
	left atomic.Int64
	cuts *atomic.Int64
}

func (c *cutConn) spend(n int) {
	if before := c.left.Add(-int64(n)) + int64(n); before > 0 && before <= int64(n) {
		c.cuts.Add(1)
		_ = c.Close()
	}
}

// Read lets through what fits in, and Write nothing of an answer that does not.
func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.spend(n)
	return n, err
}

func (c *cutConn) Write(p []byte) (int, error) {
	c.spend(len(p))
	return c.Conn.Write(p)
}

// TestKafkaOverCutConnections: connections are cut anywhere, also between records and their answer,
// and the broker goes down and comes up. No event is ever blamed, and in the end each is there.
func TestKafkaOverCutConnections(t *testing.T) {
	const seed = 11
	t.Logf("seed %d", seed)
	var most, cuts atomic.Int64
	data := t.TempDir()
	options := []kfake.Opt{kfake.DataDir(data), kfake.ListenFn(func(network, address string) (net.Listener, error) {
		listener, err := net.Listen(network, address)
		return &cutter{Listener: listener, most: &most, cuts: &cuts, rng: rand.New(rand.NewPCG(seed, 0))}, err
	})}
	cluster := startKafka(t, options...)
	most.Store(60_000)
	sink := openKafka(t, kafkaURL(cluster, "cut"), kafka.Options{})
	events := enginetest.Events(600, 5)
	for at := 0; at < len(events); {
		ctx, cancel := contextOf(t, 5*time.Second)
		err := sink.Write(ctx, events[at:min(at+25, len(events))])
		cancel()
		switch {
		case err == nil:
			at += 25
		case !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err):
			t.Fatalf("an event is blamed for a connection: %v", err)
		}
	}
	if cuts.Load() == 0 {
		t.Error("no connection was cut: nothing was tried")
	}
	most.Store(0)
	_, port, err := net.SplitHostPort(cluster.ListenAddrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	wantRecords(t, records(t, cluster, "cut"), events)
	cluster.Close()
	ctx, cancel := contextOf(t, 5*time.Second)
	defer cancel()
	if err := sink.Write(ctx, events[:1]); !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err) {
		t.Errorf("with the broker down: %v", err)
	}
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		t.Fatal(err)
	}
	again := startKafka(t, append(options, kfake.Ports(number))...)
	more := enginetest.Events(620, 5)
	for {
		err := sink.Write(t.Context(), more[600:])
		if err == nil {
			break
		}
		if !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err) {
			t.Fatalf("with the broker up again: %v", err)
		}
	}
	wantRecords(t, records(t, again, "cut"), more)
}

// TestKafkaAnswersThatNeverCome are an outage of which nobody knows how it ended, and the Write ends
// with its time.
func TestKafkaAnswersThatNeverCome(t *testing.T) {
	cluster := startKafka(t)
	sink := openKafka(t, kafkaURL(cluster, "mute"), kafka.Options{})
	if err := sink.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	silent := make(chan struct{})
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.SleepControl(func() { <-silent })
		return nil, errors.New("cut"), true
	})
	ctx, cancel := contextOf(t, 300*time.Millisecond)
	defer cancel()
	err := sink.Write(ctx, enginetest.Events(3, 6))
	close(silent)
	if !errors.Is(err, pillarbox.ErrUnavailable) || !errors.Is(err, pillarbox.ErrUnknown) || pillarbox.IsPermanent(err) {
		t.Errorf("without an answer: %v", err)
	}
}

// TestKafkaCredentials by each mechanism open the broker, over TLS too, and wrong ones are an outage.
func TestKafkaCredentials(t *testing.T) {
	pair := newPair(t)
	for method, mechanism := range map[string]string{"PLAIN": kafka.Plain, "SCRAM-SHA-256": kafka.ScramSHA256, "SCRAM-SHA-512": ""} {
		cluster := startKafka(t, kfake.EnableSASL(), kfake.Superuser(method, "me", "secret"), kfake.TLS(pair.config.Clone()))
		event := enginetest.Events(1, 7)
		with := bus.Options{TLS: bus.TLS{CA: pair.file}}
		right := kafka.Auth{User: "me", Password: "secret", Mechanism: mechanism}
		if err := openKafka(t, kafkaURL(cluster, "a"), kafka.Options{Options: with, Auth: right}).Write(t.Context(), event); err != nil {
			t.Errorf("%s: %v", method, err)
		}
		wrong := right
		wrong.Password = "other"
		for name, opts := range map[string]kafka.Options{
			"another password":  {Options: with, Auth: wrong},
			"no TLS":            {Auth: right},
			"another authority": {Options: bus.Options{TLS: bus.TLS{Enabled: true}}, Auth: right},
		} {
			ctx, cancel := contextOf(t, 10*time.Second)
			if err := openKafka(t, kafkaURL(cluster, "a"), opts).Write(ctx, event); !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err) {
				t.Errorf("%s, %s: %v", method, name, err)
			}
			cancel()
		}
	}
}

// TestKafkaCloudEvents: in binary mode the body goes as it came.
func TestKafkaCloudEvents(t *testing.T) {
	cluster := startKafka(t)
	sink := openKafka(t, kafkaURL(cluster, "ce"), kafka.Options{Options: bus.Options{Format: bus.FormatCloudEvents, Key: bus.KeySource,
		Headers: map[string]string{"X-Team": "a"}}})
	event := &pillarbox.Event{Timestamp: 1795443120_000000, RequestID: "r", Source: "app", ContentType: "text/plain", Body: []byte("\x00a"),
		Facts: &pillarbox.Facts{CEID: "1", CESource: "/s", CEType: "t", CESubject: "grün"}}
	if err := sink.Write(t.Context(), []*pillarbox.Event{event}); err != nil {
		t.Fatal(err)
	}
	record := records(t, cluster, "ce")[0]
	for name, want := range map[string]string{"ce_id": "1", "ce_source": "/s", "ce_type": "t", "ce_subject": "grün", "ce_specversion": "1.0",
		"content-type": "text/plain", "X-Team": "a", bus.HeaderID: "r"} {
		if got := header(record, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if string(record.Value) != "\x00a" || string(record.Key) != "app" {
		t.Errorf("the record is %q, by %q", record.Value, record.Key)
	}
}

// TestKafkaSettings that can't be right, or have no effect, are refused by name.
func TestKafkaSettings(t *testing.T) {
	for _, c := range []struct {
		url  string
		opts kafka.Options
		key  string
	}{
		{"kafka://host", kafka.Options{}, "url"}, {"kafka://host/a b", kafka.Options{}, "url"}, {"kafka://host/..", kafka.Options{}, "url"},
		{"kafka://u:p@host/a", kafka.Options{}, "url"}, {"kafka://host/a?b=c", kafka.Options{}, "url"}, {"kafka://host:x/a", kafka.Options{}, "url"},
		{"kafka://host/" + strings.Repeat("a", 250), kafka.Options{}, "url"},
		{"kafka://host/a", kafka.Options{Options: bus.Options{Key: "id"}}, "key"},
		{"kafka://host/a", kafka.Options{Options: bus.Options{Headers: map[string]string{"ce_id": "a"}}}, "headers.ce_id"},
		{"kafka://host/a", kafka.Options{Auth: kafka.Auth{User: "a"}}, "auth.password"},
		{"kafka://host/a", kafka.Options{Auth: kafka.Auth{Password: "a"}}, "auth.user"},
		{"kafka://host/a", kafka.Options{Auth: kafka.Auth{Mechanism: "plain"}}, "auth.user"},
		{"kafka://host/a", kafka.Options{Auth: kafka.Auth{User: "a", Password: "b", Mechanism: "gssapi"}}, "auth.mechanism"},
	} {
		sink, err := kafka.Open(c.url, c.opts)
		var setting *bus.SettingError
		if !errors.As(err, &setting) || setting.Key != c.key || !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%s %+v: %v, want one of %s", c.url, c.opts, err, c.key)
		}
		if err == nil {
			_ = sink.Close()
		}
	}
}
