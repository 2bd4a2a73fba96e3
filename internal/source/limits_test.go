package source_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/protocol"
	"pillarbox/internal/ratelimit"
	"pillarbox/internal/source"
	"pillarbox/internal/telemetry"
)

// clock is a time that stands still until it is set.
type clock struct{ at time.Duration }

func (c *clock) options(server ratelimit.Rate) source.Options {
	return source.Options{Rate: server, Elapsed: func() time.Duration { return c.at }}
}

func limitOf(by source.By, perSecond, burst int) source.Limit {
	return source.Limit{By: by, Rate: ratelimit.Rate{PerSecond: perSecond, Burst: burst}}
}

// TestLimitsAreEachOnesOwn: who has sent as much as they may takes nothing from others.
func TestLimitsAreEachOnesOwn(t *testing.T) {
	at := &clock{}
	s := source.New(source.Settings{Name: "app", Path: "/app", Users: []source.User{{Name: "a", Password: "1"}, {Name: "b", Password: "2"}},
		Limits: []source.Limit{limitOf(source.BySource, 10, 10), limitOf(source.ByKey, 1, 4), limitOf(source.ByAddress, 2, 6)}},
		at.options(ratelimit.Rate{}))
	for _, step := range []struct {
		at      time.Duration
		user    string
		address string
		events  int
		limit   string // that refuses it; empty where it comes in
		after   time.Duration
	}{
		{0, "a:1", "192.0.2.1", 4, "", 0},
		{0, "a:1", "192.0.2.2", 1, "key", time.Second},
		{0, "b:2", "192.0.2.1", 3, "address", 500 * time.Millisecond},
		{0, "b:2", "192.0.2.1", 2, "", 0},
		{0, "b:2", "::ffff:192.0.2.1", 1, "address", 500 * time.Millisecond},
		{0, "b:2", "2001:db8::1", 2, "", 0},
		{0, "b:2", "2001:db8::1", 1, "key", time.Second},
		{time.Second, "b:2", "2001:db8::1", 1, "", 0},
		{time.Second, "a:1", "2001:db8::ffff", 1, "", 0},
		{10 * time.Second, "a:1", "2001:db8::1", 100, "", 0}, // a batch over all buckets takes all of them
		{10 * time.Second, "b:2", "2001:db8:0:1::1", 1, "source", 100 * time.Millisecond},
		{10 * time.Second, "b:2", "2001:db8::2", 1, "address", 500 * time.Millisecond},
	} {
		at.at = step.at
		head := basic(step.user, step.address)
		admission, err := s.Admit(head)
		if err == nil {
			var checked source.Checked
			if checked, err = admission.Check(head, nil); err != nil {
				t.Fatal(err)
			}
			_, err = checked.Charge(step.events)
		}
		if got := limitOfError(err); got != step.limit || pillarbox.RetryAfter(err) != step.after {
			t.Errorf("%+v: refused by %q for %v", step, got, pillarbox.RetryAfter(err))
		}
		if step.limit != "" && protocol.StatusOf(err) != http.StatusTooManyRequests {
			t.Errorf("%+v: the status is %d", step, protocol.StatusOf(err))
		}
	}
}

// TestRefusedIsNotTaken: what one limit refuses costs nothing of the others.
func TestRefusedIsNotTaken(t *testing.T) {
	s := source.New(source.Settings{Name: "app", Path: "/app", Users: []source.User{{Name: "a", Password: "1"}, {Name: "b", Password: "2"}},
		Limits: []source.Limit{limitOf(source.ByKey, 1, 4), limitOf(source.ByAddress, 1, 6)}}, (&clock{}).options(ratelimit.Rate{}))
	for _, step := range []struct {
		user   string
		events int
		limit  string
	}{{"a:1", 3, ""}, {"a:1", 3, "key"}, {"b:2", 3, ""}, {"a:1", 1, "address"}} {
		admission, err := s.Admit(basic(step.user, "192.0.2.1"))
		if err == nil {
			checked, _ := admission.Check(basic(step.user, "192.0.2.1"), nil)
			_, err = checked.Charge(step.events)
		}
		if got := limitOfError(err); got != step.limit {
			t.Errorf("%+v: refused by %q", step, got)
		}
	}
}

// limitOfError is the limit that a refusal tells of.
func limitOfError(err error) (by string) {
	if err == nil {
		return ""
	}
	header, _ := protocol.ProblemOf(err).Answer(err)
	if value := header.Get("RateLimit"); value != "" {
		_, _ = fmt.Sscanf(value, "%q", &by)
	}
	return by
}

func basic(user, address string) *source.Head {
	request, _ := http.NewRequest("POST", "/app", nil)
	name, password := user[:1], user[2:]
	request.SetBasicAuth(name, password)
	return &source.Head{Method: "POST", Path: "/app", RemoteAddr: address,
		Header: pillarbox.Header{{Name: "Authorization", Value: request.Header.Get("Authorization")}}}
}

// TestLimitOfTheServer is one for all sources, and nobody's fault.
func TestLimitOfTheServer(t *testing.T) {
	at := &clock{}
	table, err := source.Compile([]source.Settings{{Name: "a", Path: "/a"}, {Name: "b", Path: "/b",
		Limits: []source.Limit{limitOf(source.BySource, 1, 1)}}}, at.options(ratelimit.Rate{PerSecond: 2}))
	if err != nil {
		t.Fatal(err)
	}
	post := func(name string) (source.Grant, error) {
		grant, _, err := table.Get(name).AdmitOne(&source.Head{Method: "POST"}, nil)
		return grant, err
	}
	grant, err := post("b")
	if lines := string(grant.Quota().AppendLines(nil)); err != nil || lines != "RateLimit-Policy: \"source\";q=1;w=1, \"server\";q=2;w=1\r\nRateLimit: \"source\";r=0;t=1\r\n" {
		t.Errorf("the first: %v, told %q", err, lines)
	}
	if _, err := post("b"); protocol.StatusOf(err) != http.StatusTooManyRequests {
		t.Errorf("the second to b is answered with %v", err)
	}
	grant, err = post("a")
	if lines := string(grant.Quota().AppendLines(nil)); err != nil || lines != "RateLimit-Policy: \"server\";q=2;w=1\r\nRateLimit: \"server\";r=0;t=1\r\n" {
		t.Errorf("what b was refused was taken from a: %v, told %q", err, lines)
	}
	_, err = post("a")
	if protocol.StatusOf(err) != http.StatusServiceUnavailable || pillarbox.RetryAfter(err) != 500*time.Millisecond {
		t.Errorf("the third is answered with %v", err)
	}
}

// TestGuessingCostsAnAddress: what nobody may send counts for where it comes from, and for nobody
// else.
func TestGuessingCostsAnAddress(t *testing.T) {
	at := &clock{}
	s := source.New(source.Settings{Name: "app", Path: "/app", Users: []source.User{{Name: "a", Password: "1"}},
		Limits: []source.Limit{limitOf(source.ByAddress, 1, 3), limitOf(source.BySource, 1, 3)}}, at.options(ratelimit.Rate{}))
	for range 3 {
		if _, err := s.Admit(basic("a:2", "192.0.2.1")); protocol.StatusOf(err) != http.StatusUnauthorized {
			t.Errorf("a wrong password is answered with %v", err)
		}
	}
	if _, err := s.Admit(basic("a:1", "192.0.2.1")); protocol.StatusOf(err) != http.StatusTooManyRequests {
		t.Errorf("the fourth try is answered with %v", err)
	}
	if grant, _, err := s.AdmitOne(basic("a:1", "192.0.2.2"), nil); err != nil || grant.Source() == nil {
		t.Errorf("another address is answered with %v", err)
	}
}

// TestManySendersAtOnce: the memory for clients is bounded, and who has a place keeps it.
func TestManySendersAtOnce(t *testing.T) {
	at := &clock{}
	limit := limitOf(source.ByAddress, 1, 2)
	limit.MaxClients = 64
	s := source.New(source.Settings{Name: "app", Path: "/app", Limits: []source.Limit{limit}}, at.options(ratelimit.Rate{}))
	in := 0
	for i := range 10_000 {
		head := &source.Head{Method: "POST", RemoteAddr: fmt.Sprintf("2001:db8:%x::1", i)}
		if _, _, err := s.AdmitOne(head, nil); err == nil {
			in++
		}
	}
	if in > 64*2 {
		t.Errorf("10000 networks have sent %d events at once, want no more than 64 of them may", in)
	}
}

// TestLimitsCostNoAllocation as long as they let requests in.
func TestLimitsCostNoAllocation(t *testing.T) {
	s := source.New(source.Settings{Name: "app", Path: "/app", Limits: []source.Limit{limitOf(source.BySource, 1e6, 1e6),
		limitOf(source.ByAddress, 1e6, 1e6)}}, source.Options{Rate: ratelimit.Rate{PerSecond: 1e6}})
	head := &source.Head{Method: "POST", Path: "/app", RemoteAddr: "2001:db8::1"}
	line := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() {
		grant, _, err := s.AdmitOne(head, nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = grant.Quota().AppendLines(line)
	}); n != 0 {
		t.Errorf("it takes %v allocations", n)
	}
}

// TestLimitsAreCounted under the names that the metrics know.
func TestLimitsAreCounted(t *testing.T) {
	for _, by := range []source.By{source.ByServer, source.BySource, source.ByKey, source.ByAddress} {
		if !slices.Contains(telemetry.Limits(), string(by)) {
			t.Errorf("the metrics do not know %s", by)
		}
	}
	if len(telemetry.Limits()) != 4 {
		t.Errorf("the metrics know %v", telemetry.Limits())
	}
}
