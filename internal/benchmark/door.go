package benchmark

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"pillarbox/internal/load"
)

// Door is what a request of a scenario has that makes the front door work; empty for none.
type Door string

// The doors that are measured.
const (
	Without Door = "nothing else" // measured beside the others, and not with what ran minutes before
	NewKey  Door = "a new Idempotency-Key"
	SameKey Door = "a repeated Idempotency-Key"
	Gzipped Door = "gzip"
	Signed  Door = "a GitHub signature"
	Keyed   Door = "an API key and a new Idempotency-Key"
	Limited Door = "a rate of each address"
	Alone   Door = "an API key with a rate of its own"
	Crowded Door = "the same beside another key at full speed"
	OverTLS Door = "TLS 1.3"

	QuietTLS   Door = "TLS 1.3, alone"
	Handshakes Door = "TLS 1.3, beside 5,000 handshakes a second that never finish"
	Dripping   Door = "beside 10,000 connections whose requests never end"

	Beside    Door = "nothing else, with ten million keys held"
	NewBeside Door = "a new Idempotency-Key, with ten million keys held"
	Held      Door = "one of ten million Idempotency-Keys that are held"
)

// HeldKeys is how many keys a contender of Held has, each that of a request of Held.
const HeldKeys = 10_000_000

// overTLS reports whether a scenario is about a contender with TLS.
func (d Door) overTLS() bool { return d == OverTLS || d == QuietTLS || d == Handshakes }

// flood is what goes on beside the requests of the door.
func (d Door) flood() Flood {
	switch d {
	case Handshakes:
		return Flood{Handshakes: 5000}
	case Dripping:
		return Flood{Slow: 10_000}
	}
	return Flood{}
}

// HeldBody is the body of the requests of Held.
func HeldBody() []byte { return ClosedLoop(256, goalBody).body() }

// heldStep is how far apart the keys are that come one after the other: far, so that no page has two
// that come soon, and without a divisor in common with HeldKeys, so that all of them come.
const heldStep = 7_654_321

// onHeld reports whether a scenario is about a contender that holds HeldKeys.
func (d Door) onHeld() bool { return d == Beside || d == NewBeside || d == Held }

// serials are the numbers of the keys of the door; nil for those that never came before.
func (d Door) serials() *load.Serials {
	if d != Held {
		return nil
	}
	return &load.Serials{Count: HeldKeys, Step: heldStep}
}

// The ways in of the doors.
const (
	signedPath  = "/signed"
	keyedPath   = "/keyed"
	limitedPath = "/limited"
	fairPath    = "/fair"
	doorSecret  = "a-secret-of-the-benchmark"
)

// doorSettings are the sources that ask for something. The rates are more than anybody sends, but
// for that of the key which sends at full speed.
const doorSettings = `sources:
  app: {}
  signed: { path: ` + signedPath + `, signature: { scheme: github, secrets: [` + doorSecret + `] } }
  keyed: { path: ` + keyedPath + `, auth: [{ api_key: true }] }
  limited: { path: ` + limitedPath + `, rate: { per_second: 100000000, by: address } }
  fair: { path: ` + fairPath + `, auth: [{ api_key: true }], rate: { per_second: 10000, by: key } }
destinations: { events: { url: "sqlite:", sources: [app, signed, keyed, limited, fair] } }
`

// crowd is how many connections the other key has.
const crowd = 64

// Doors are the scenarios of the goals on the front door, each beside the same without it.
func Doors() []Scenario {
	with := func(s Scenario, door Door) Scenario {
		s.Door = door
		return s
	}
	plain := with(ClosedLoop(256, goalBody), Without)
	large := with(ClosedLoop(256, doorBody), Without)
	fair := FixedRate(goalBody)
	return []Scenario{plain, with(plain, NewKey), with(plain, SameKey), with(plain, Signed), large,
		with(large, Gzipped), with(plain, Keyed), with(plain, Limited), with(fair, Alone), with(fair, Crowded), overTLS(),
		with(plain, Beside), with(plain, NewBeside), with(plain, Held)}
}

// Floods are the scenarios of good clients beside a flood, each beside the same alone. They take
// 20,000 descriptors, and more of the processors than a small machine has.
func Floods() []Scenario {
	with := func(door Door) Scenario {
		s := calm()
		s.Door = door
		return s
	}
	return []Scenario{with(Without), with(Dripping), with(QuietTLS), with(Handshakes)}
}

// calm is what good clients send beside a flood.
func calm() Scenario {
	return Scenario{Connections: rateClients, Body: goalBody, Rate: calmRate}
}

// overTLS is the scenario of the goal on TLS.
func overTLS() Scenario {
	s := ClosedLoop(256, goalBody)
	s.Door = OverTLS
	return s
}

// doorBody is the body that is measured with gzip, in bytes.
const doorBody = 1024

// open changes a request as the door of a scenario asks. key is an API key of the sender.
func (d Door) open(r *load.Request, key string) error {
	switch d {
	case Keyed, Alone, Crowded:
		if key == "" {
			return errors.New("no API key was made for this run")
		}
		r.Header.Set("Authorization", "Bearer "+key)
		r.Path = fairPath
		if d == Keyed {
			r.Path = keyedPath
			r.Header.Set("Idempotency-Key", load.Serial)
		}
	case Limited:
		r.Path = limitedPath
	case NewKey, NewBeside, Held:
		r.Header.Set("Idempotency-Key", load.Serial)
	case SameKey:
		r.Header.Set("Idempotency-Key", "the-same-key-of-all-requests")
	case Gzipped:
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		if _, err := w.Write(r.Body); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		r.Body = out.Bytes()
		r.Header.Set("Content-Encoding", "gzip")
	case Signed:
		mac := hmac.New(sha256.New, []byte(doorSecret))
		mac.Write(r.Body)
		r.Path = signedPath
		r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	return nil
}

// stores reports whether each request of it is an event of its own.
func (d Door) stores() bool { return d != SameKey && d != Held }

// doors are the goals on the front door.
func (r *Report) doors() []Goal {
	scenarios, floods := Doors(), Floods()
	plain, large := scenarios[0], scenarios[4]
	return []Goal{
		r.door(0.85, scenarios[1], plain), r.door(0.8, scenarios[2], plain),
		r.door(0.85, scenarios[3], plain), r.door(0.7, scenarios[5], large),
		r.door(0.85, scenarios[6], plain), r.door(0.85, scenarios[7], plain),
		r.beside("p99 of a key beside another key at full speed, to the same alone", 3, Accepting, scenarios[9], scenarios[8]),
		r.compare(contest{"durable events/s over TLS 1.3, to bare net/http with TLS", 0.8, AcceptingTLS,
			BareTLS, scenarios[10]}, eventRate),
		r.doorOf(HoldingKeys, 0.8, scenarios[13], scenarios[11]),
		r.heldMemory(scenarios[13], scenarios[1]),
		r.beside("p99 beside 10,000 slow connections, to the same alone", 2, Accepting, floods[1], floods[0]),
		r.beside("p99 over TLS beside 5,000 handshakes/s that never finish, to the same alone", 2, AcceptingTLS,
			floods[3], floods[2]),
	}
}

// heldMemory is what ten million keys take of the server's memory, beside the same server with few.
func (r *Report) heldMemory(held, few Scenario) Goal {
	g := Goal{Name: "memory of ten million keys, MiB", Target: 64, AtMost: true}
	many, other := find(r.Rows, HoldingKeys, held), find(r.Rows, Accepting, few)
	switch {
	case many == nil || other == nil:
		g.Basis = "not measured"
	case many.Problem != "" || other.Problem != "":
		g.Basis = many.Problem + other.Problem
	case other.Resident <= 0:
		g.Basis = "this system does not tell"
	default:
		more := (many.Resident - other.Resident) / (1 << 20)
		return g.reach(max(more, 1), fmt.Sprintf("%s - %s MiB", mebibytes(many.Resident), mebibytes(other.Resident)))
	}
	return g
}

// beside is what others cost a sender: of a contender, p99 beside them to p99 alone.
func (r *Report) beside(name string, target float64, contender string, beside, alone Scenario) Goal {
	g := Goal{Name: name, Target: target, AtMost: true}
	crowded, quiet := find(r.Rows, contender, beside), find(r.Rows, contender, alone)
	switch {
	case crowded == nil || quiet == nil || quiet.P99 <= 0:
		g.Basis = "not measured"
	case crowded.Problem != "" || quiet.Problem != "":
		g.Basis = crowded.Problem + quiet.Problem
	default:
		return g.reach(crowded.P99/quiet.P99, fmt.Sprintf("%.2f ms / %.2f ms", crowded.P99, quiet.P99))
	}
	return g
}

func (r *Report) door(target float64, with, without Scenario) Goal {
	return r.doorOf(Accepting, target, with, without)
}

func (r *Report) doorOf(contender string, target float64, with, without Scenario) Goal {
	g := Goal{Name: fmt.Sprintf("events/s with %s, to the same without", with.Door), Target: target}
	ours, plain := find(r.Rows, contender, with), find(r.Rows, contender, without)
	switch {
	case ours == nil || plain == nil || plain.PerSecond <= 0:
		g.Basis = "not measured"
	case ours.Problem != "" || plain.Problem != "":
		g.Basis = ours.Problem + plain.Problem
	default:
		return g.reach(ours.PerSecond/plain.PerSecond,
			fmt.Sprintf("%s / %s", short(ours.PerSecond), short(plain.PerSecond)))
	}
	return g
}
