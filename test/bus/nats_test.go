package bus_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"pillarbox"
	"pillarbox/internal/bus"
	"pillarbox/internal/engine/enginetest"
	"pillarbox/internal/engine/nats"
	"pillarbox/test/faultproxy"
)

// broker is a NATS server.
type broker struct {
	t      testing.TB
	server *server.Server
	opts   server.Options
}

// startNATS starts a server with JetStream, after change.
func startNATS(t testing.TB, change func(*server.Options)) *broker {
	t.Helper()
	b := &broker{t: t, opts: server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(),
		NoSigs: true, NoLog: true}}
	if change != nil {
		change(&b.opts)
	}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *broker) start() {
	b.t.Helper()
	opts := b.opts
	s, err := server.NewServer(&opts)
	if err != nil {
		b.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		b.t.Fatal("the server does not start")
	}
	b.server, b.opts.Port = s, s.Addr().(*net.TCPAddr).Port
}

func (b *broker) stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}

func (b *broker) addr() string { return fmt.Sprintf("127.0.0.1:%d", b.opts.Port) }

func (b *broker) url(subject string) string { return "nats://" + b.addr() + "/" + subject }

// client is one that looks at what is stored.
func (b *broker) client(options ...client.Option) jetstream.JetStream {
	b.t.Helper()
	conn, err := client.Connect("nats://"+b.addr(), options...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		b.t.Fatal(err)
	}
	return js
}

// messages are all that the stream of a subject holds.
func (b *broker) messages(subject string, options ...client.Option) (messages []jetstream.Msg) {
	b.t.Helper()
	js := b.client(options...)
	name, err := js.StreamNameBySubject(b.t.Context(), subject)
	if err != nil {
		b.t.Fatal(err)
	}
	consumer, err := js.OrderedConsumer(b.t.Context(), name, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		b.t.Fatal(err)
	}
	info, err := consumer.Info(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	for left := int(info.NumPending); left > 0; {
		batch, err := consumer.Fetch(left, jetstream.FetchMaxWait(time.Minute))
		if err != nil {
			b.t.Fatal(err)
		}
		for m := range batch.Messages() {
			messages = append(messages, m)
			left--
		}
		if batch.Error() != nil {
			b.t.Fatal(batch.Error())
		}
	}
	return messages
}

func openNATS(t testing.TB, url string, opts nats.Options) *nats.Sink {
	t.Helper()
	sink, err := nats.Open(url, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

// wantOnce sees that the messages are the events, each once and byte for byte.
func wantOnce(t *testing.T, messages []jetstream.Msg, events []*pillarbox.Event) {
	t.Helper()
	got := map[pillarbox.Key]*pillarbox.Event{}
	for _, m := range messages {
		event := new(pillarbox.Event)
		if err := json.Unmarshal(m.Data(), event); err != nil {
			t.Fatal(err)
		}
		if got[event.Key()] != nil {
			t.Errorf("event %s is stored twice", event.RequestID)
		}
		if id := m.Headers().Get(bus.HeaderID); id != event.RequestID {
			t.Errorf("event %s is named %s in its header", event.RequestID, id)
		}
		got[event.Key()] = event
	}
	if len(got) != len(events) {
		t.Errorf("%d events are stored, want %d", len(got), len(events))
	}
	for _, want := range events {
		switch event := got[want.Key()]; {
		case event == nil:
			t.Errorf("event %s is not stored", want.RequestID)
		default:
			// JSON sorts the names of headers.
			text, err := want.MarshalJSON()
			sorted := new(pillarbox.Event)
			if err = errors.Join(err, json.Unmarshal(text, sorted)); err != nil {
				t.Fatal(err)
			}
			if diff := enginetest.Diff(event, sorted); diff != "" {
				t.Errorf("event %s: %s", want.RequestID, diff)
			}
		}
	}
}

// TestNATSKeepsTheContract of destinations, each on a stream that is not there yet.
func TestNATSKeepsTheContract(t *testing.T) {
	b, n := startNATS(t, nil), 0
	enginetest.Sink(t, func(t *testing.T) pillarbox.Sink {
		n++
		return openNATS(t, b.url(fmt.Sprintf("contract.%d", n)), nats.Options{})
	})
}

// TestNATSStoresOnce: what is written again, twice in one call, by two sinks and concurrently is in
// the stream once; and two subjects of one stream do not take each other's events for their own.
func TestNATSStoresOnce(t *testing.T) {
	b := startNATS(t, nil)
	js := b.client()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "all", Subjects: []string{"all.>"}}); err != nil {
		t.Fatal(err)
	}
	events := enginetest.Events(5000, 1) // more than a window
	for _, subject := range []string{"all.one", "all.two"} {
		one, two := openNATS(t, b.url(subject), nats.Options{}), openNATS(t, b.url(subject), nats.Options{})
		done := make(chan error)
		for _, sink := range []*nats.Sink{one, two} {
			go func() { done <- sink.Write(t.Context(), append(events, events[:10]...)) }()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	for _, subject := range []string{"all.one", "all.two"} {
		wantOnce(t, b.messages(subject), events)
	}
	// The key of an event is its time, too.
	same := []*pillarbox.Event{{Timestamp: 1, RequestID: "a"}, {Timestamp: 2, RequestID: "a"}}
	if err := openNATS(t, b.url("all.same"), nats.Options{}).Write(t.Context(), same); err != nil {
		t.Fatal(err)
	}
	wantOnce(t, b.messages("all.same"), same)
}

// TestNATSMakesAStreamWhereNoneIs, looks at one that is there, and makes one anew that was deleted.
func TestNATSMakesAStreamWhereNoneIs(t *testing.T) {
	b := startNATS(t, nil)
	sink := openNATS(t, b.url("new.events"), nats.Options{})
	if err := sink.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	js := b.client()
	stream, err := js.Stream(t.Context(), nats.StreamName("new.events"))
	if err != nil {
		t.Fatal(err)
	}
	if config := stream.CachedInfo().Config; config.Name != "pillarbox-new-events" || config.Storage != jetstream.FileStorage ||
		config.Retention != jetstream.LimitsPolicy || config.MaxMsgs != -1 || config.MaxBytes != -1 || config.MaxAge != 0 {
		t.Errorf("the stream is made as %+v", config)
	}
	events := enginetest.Events(10, 2)
	if err := sink.Write(t.Context(), events[:5]); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), "pillarbox-new-events"); err != nil {
		t.Fatal(err)
	}
	if err := sink.Write(t.Context(), events); !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err) {
		t.Errorf("without a stream: %v", err)
	}
	if err := sink.Write(t.Context(), events); err != nil {
		t.Error(err)
	}
	wantOnce(t, b.messages("new.events"), events)
	for name, config := range map[string]jetstream.StreamConfig{
		"no_ack":                    {Name: "silent", Subjects: []string{"silent.events"}, NoAck: true},
		"does not have the subject": {Name: "pillarbox-taken-events", Subjects: []string{"else"}},
	} {
		if _, err := js.CreateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		subject := "silent.events"
		if config.Name != "silent" {
			subject = "taken.events"
		}
		wrong := openNATS(t, b.url(subject), nats.Options{})
		if err := wrong.Check(t.Context()); !errors.Is(err, pillarbox.ErrInvalid) || errors.Is(err, pillarbox.ErrUnavailable) ||
			!strings.Contains(err.Error(), name) {
			t.Errorf("check of a stream that can't serve: %v, want %q", err, name)
		}
		if err := wrong.Write(t.Context(), events); !errors.Is(err, pillarbox.ErrUnavailable) {
			t.Errorf("write to a stream that can't serve: %v", err)
		}
	}
}

// TestNATSRefusesWhatIsTooLarge for good, alone, by the limit of the server and of the stream.
func TestNATSRefusesWhatIsTooLarge(t *testing.T) {
	b := startNATS(t, func(o *server.Options) { o.MaxPayload = 64 << 10 })
	if _, err := b.client().CreateStream(t.Context(), jetstream.StreamConfig{Name: "small", Subjects: []string{"small"},
		MaxMsgSize: 8 << 10}); err != nil {
		t.Fatal(err)
	}
	for subject, size := range map[string]int{"large": 64 << 10, "small": 16 << 10} {
		events := enginetest.Events(5, 3)
		for _, event := range events {
			event.Body = event.Body[:min(len(event.Body), 100)]
		}
		large := enginetest.Clone(events[2])
		large.Body = []byte(strings.Repeat("x", size))
		err := openNATS(t, b.url(subject), nats.Options{}).Write(t.Context(),
			[]*pillarbox.Event{events[0], events[1], large, events[3], events[4]})
		var batch *pillarbox.BatchError
		if !errors.As(err, &batch) || len(batch.Items) != 1 || batch.Items[0].Index != 2 || !pillarbox.IsPermanent(batch.Items[0].Err) ||
			!errors.Is(err, pillarbox.ErrTooLarge) {
			t.Errorf("%s: %v", subject, err)
		}
		wantOnce(t, b.messages(subject), []*pillarbox.Event{events[0], events[1], events[3], events[4]})
	}
}

// TestNATSRefusesWhatIsNoMessage for good, and its neighbours are stored.
func TestNATSRefusesWhatIsNoMessage(t *testing.T) {
	b := startNATS(t, nil)
	events := enginetest.Usual(3, 1)
	events[0].Timestamp = math.MaxInt64 // no year has it
	err := openNATS(t, b.url("some"), nats.Options{}).Write(t.Context(), events)
	var batch *pillarbox.BatchError
	if !errors.As(err, &batch) || len(batch.Items) != 1 || batch.Items[0].Index != 0 || !pillarbox.IsPermanent(batch.Items[0].Err) {
		t.Fatalf("an event that is no message: %v", err)
	}
	wantOnce(t, b.messages("some"), events[1:])
}

// TestNATSOverCutConnections: connections are cut anywhere, also between a message and its answer,
// and the server goes down and comes up. No event is ever blamed, and in the end each is there once.
func TestNATSOverCutConnections(t *testing.T) {
	b := startNATS(t, nil)
	const seed = 7
	t.Logf("seed %d", seed)
	proxy := faultproxy.Start(t, b.addr(), seed)
	sink := openNATS(t, "nats://"+proxy.Addr()+"/cut.events", nats.Options{})
	if err := sink.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	events := enginetest.Events(300, 4)
	proxy.CutWithin(60_000)
	proxy.CutAll()
	stored, failed := 0, 0
	for at := 0; at < len(events); {
		err := sink.Write(t.Context(), events[at:min(at+25, len(events))])
		switch {
		case err == nil:
			at, stored = at+25, stored+1
			continue
		case !errors.Is(err, pillarbox.ErrUnavailable) || pillarbox.IsPermanent(err):
			t.Fatalf("an event is blamed for a connection: %v", err)
		}
		if failed++; failed == 20 {
			proxy.CutWithin(0)
		}
	}
	if failed == 0 || proxy.Cuts() == 0 {
		t.Errorf("%d writes have failed, %d connections were cut: nothing was tried", failed, proxy.Cuts())
	}
	b.stop()
	if err := sink.Write(t.Context(), events[:1]); !errors.Is(err, pillarbox.ErrUnavailable) {
		t.Errorf("with the server down: %v", err)
	}
	b.start()
	again := openNATS(t, b.url("cut.events"), nats.Options{})
	if err := again.Write(t.Context(), events); err != nil {
		t.Error(err)
	}
	wantOnce(t, b.messages("cut.events"), events)
}

// TestNATSAnswersThatNeverCome are an outage of which nobody knows how it ended.
func TestNATSAnswersThatNeverCome(t *testing.T) {
	b := startNATS(t, nil)
	js := b.client()
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "mute", Subjects: []string{"mute"}}); err != nil {
		t.Fatal(err)
	}
	sink := openNATS(t, b.url("mute"), nats.Options{})
	if err := sink.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	// From here on the stream takes messages, and says nothing.
	if _, err := js.UpdateStream(t.Context(), jetstream.StreamConfig{Name: "mute", Subjects: []string{"mute"}, NoAck: true}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := contextOf(t, 200*time.Millisecond)
	defer cancel()
	err := sink.Write(ctx, enginetest.Events(3, 5))
	if !errors.Is(err, pillarbox.ErrUnavailable) || !errors.Is(err, pillarbox.ErrUnknown) || pillarbox.IsPermanent(err) {
		t.Errorf("without an answer: %v", err)
	}
}

// TestNATSCredentials of each kind open the server, and wrong ones are an outage that names them.
func TestNATSCredentials(t *testing.T) {
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := user.PublicKey()
	seed, _ := user.Seed()
	for name, c := range map[string]struct {
		change       func(*server.Options)
		right, wrong nats.Auth
	}{
		"password": {func(o *server.Options) { o.Username, o.Password = "me", "secret" },
			nats.Auth{User: "me", Password: "secret"}, nats.Auth{User: "me", Password: "other"}},
		"token": {func(o *server.Options) { o.Authorization = "secret" }, nats.Auth{Token: "secret"}, nats.Auth{Token: "other"}},
		"nkey":  {func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} }, nats.Auth{NKey: string(seed)}, nats.Auth{}},
	} {
		b := startNATS(t, c.change)
		event := enginetest.Events(1, 6)
		if err := openNATS(t, b.url("a"), nats.Options{Auth: c.right}).Write(t.Context(), event); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		err := openNATS(t, b.url("a"), nats.Options{Auth: c.wrong}).Write(t.Context(), event)
		if !errors.Is(err, pillarbox.ErrUnavailable) || !strings.Contains(strings.ToLower(err.Error()), "auth") {
			t.Errorf("%s, a wrong one: %v", name, err)
		}
	}
}

// TestNATSOverTLS: the server is verified with the authority that is set, and no other.
func TestNATSOverTLS(t *testing.T) {
	pair := newPair(t)
	b := startNATS(t, func(o *server.Options) { o.TLSConfig, o.TLSTimeout = pair.config, 30 })
	event := enginetest.Events(1, 7)
	with := bus.Options{TLS: bus.TLS{CA: pair.file}}
	if err := openNATS(t, b.url("a"), nats.Options{Options: with}).Write(t.Context(), event); err != nil {
		t.Error(err)
	}
	if err := openNATS(t, b.url("a"), nats.Options{Options: bus.Options{TLS: bus.TLS{Enabled: true}}}).Write(t.Context(), event); !errors.Is(err,
		pillarbox.ErrUnavailable) {
		t.Errorf("a server of an unknown authority: %v", err)
	}
}

// TestNATSCloudEvents: in binary mode the body goes as it came.
func TestNATSCloudEvents(t *testing.T) {
	b := startNATS(t, nil)
	sink := openNATS(t, b.url("ce"), nats.Options{Options: bus.Options{Format: bus.FormatCloudEvents, Headers: map[string]string{"X-Team": "a"}}})
	event := &pillarbox.Event{Timestamp: 1795443120_000000, RequestID: "r", Source: "app", ContentType: "text/plain", Body: []byte("\x00a")}
	if err := sink.Write(t.Context(), []*pillarbox.Event{event}); err != nil {
		t.Fatal(err)
	}
	m := b.messages("ce")[0]
	for name, want := range map[string]string{"ce-id": "r", "ce-source": "/app", "ce-type": "pillarbox.event", "ce-specversion": "1.0",
		"content-type": "text/plain", "X-Team": "a", bus.HeaderID: "r"} {
		if got := m.Headers().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if string(m.Data()) != "\x00a" {
		t.Errorf("the body is %q", m.Data())
	}
}

// TestNATSSettings that can't be right, or have no effect, are refused by name.
func TestNATSSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.creds")
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		url  string
		opts nats.Options
		key  string
	}{
		{"nats:host/a", nats.Options{}, "url"}, {"nats://host", nats.Options{}, "url"}, {"nats://host/a.*", nats.Options{}, "url"},
		{"nats://host/a..b", nats.Options{}, "url"}, {"nats://u:p@host/a", nats.Options{}, "url"}, {"nats://host/a?b=c", nats.Options{}, "url"},
		{"nats://host:0/a", nats.Options{}, "url"}, {"nats://a,:4222/a", nats.Options{}, "url"},
		{"nats://host/a", nats.Options{Options: bus.Options{Key: "source"}}, "key"},
		{"nats://host/a", nats.Options{Options: bus.Options{Format: "xml"}}, "format"},
		{"nats://host/a", nats.Options{Options: bus.Options{Headers: map[string]string{"Nats-Msg-Id": "a"}}}, "headers.Nats-Msg-Id"},
		{"nats://host/a", nats.Options{Options: bus.Options{TLS: bus.TLS{Key: "k"}}}, "tls.cert"},
		{"nats://host/a", nats.Options{Auth: nats.Auth{User: "a"}}, "auth.password"},
		{"nats://host/a", nats.Options{Auth: nats.Auth{User: "a", Password: "b", Token: "c"}}, "auth"},
		{"nats://host/a", nats.Options{Auth: nats.Auth{NKey: "SU"}}, "auth.nkey"},
		{"nats://host/a", nats.Options{Auth: nats.Auth{Creds: file}}, "auth.creds"},
	} {
		sink, err := nats.Open(c.url, c.opts)
		var setting *bus.SettingError
		if !errors.As(err, &setting) || setting.Key != c.key || !errors.Is(err, pillarbox.ErrInvalid) {
			t.Errorf("%s %+v: %v, want one of %s", c.url, c.opts, err, c.key)
		}
		if err == nil {
			_ = sink.Close()
		}
	}
	for _, url := range []string{"nats://a,b:1,[::1]:4222,[::1]/x.y-z_1"} {
		openNATS(t, url, nats.Options{})
	}
}
