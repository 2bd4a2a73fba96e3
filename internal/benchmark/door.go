package benchmark

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"pillarbox/internal/load"
)

// Door is what a request of a scenario has that makes the front door work; empty for none.
type Door string

// The doors that are measured.
const (
	Without  Door = "nothing else" // measured beside the others, and not with what ran minutes before
	NewKey   Door = "a new Idempotency-Key"
	SameKey  Door = "a repeated Idempotency-Key"
	Gzipped  Door = "gzip"
	Signed   Door = "a GitHub signature"
	OverTLS  Door = "TLS 1.3"
	doorPath      = "/signed"
	doorKey       = "a-secret-of-the-benchmark"
)

// doorSettings is the source that asks for signatures.
const doorSettings = "sources: { app: {}, signed: { path: " + doorPath + ", signature: { scheme: github, secrets: [" +
	doorKey + "] } } }\ndestinations: { events: { url: \"sqlite:\", sources: [app, signed] } }\n"

// Doors are the scenarios of the goals on the front door, each beside the same without it.
func Doors() []Scenario {
	with := func(s Scenario, door Door) Scenario {
		s.Door = door
		return s
	}
	plain := with(ClosedLoop(256, goalBody), Without)
	large := with(ClosedLoop(256, doorBody), Without)
	return []Scenario{plain, with(plain, NewKey), with(plain, SameKey), with(plain, Signed), large,
		with(large, Gzipped), overTLS()}
}

// overTLS is the scenario of the goal on TLS.
func overTLS() Scenario {
	s := ClosedLoop(256, goalBody)
	s.Door = OverTLS
	return s
}

// doorBody is the body that is measured with gzip, in bytes.
const doorBody = 1024

// open changes a request as the door of a scenario asks.
func (d Door) open(r *load.Request) error {
	switch d {
	case NewKey:
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
		mac := hmac.New(sha256.New, []byte(doorKey))
		mac.Write(r.Body)
		r.Path = doorPath
		r.Header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	return nil
}

// stores reports whether each request of it is an event of its own.
func (d Door) stores() bool { return d != SameKey }

// doors are the goals on the front door.
func (r *Report) doors() []Goal {
	scenarios := Doors()
	plain, large := scenarios[0], scenarios[4]
	return []Goal{
		r.door(0.85, scenarios[1], plain), r.door(0.8, scenarios[2], plain),
		r.door(0.85, scenarios[3], plain), r.door(0.7, scenarios[5], large),
		r.compare(contest{"durable events/s over TLS 1.3, to bare net/http with TLS", 0.8, AcceptingTLS,
			BareTLS, scenarios[6]}, eventRate),
	}
}

func (r *Report) door(target float64, with, without Scenario) Goal {
	g := Goal{Name: fmt.Sprintf("events/s with %s, to the same without", with.Door), Target: target}
	ours, plain := find(r.Rows, Accepting, with), find(r.Rows, Accepting, without)
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
