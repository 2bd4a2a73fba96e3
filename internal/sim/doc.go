// Package sim runs the node that users run (package node) on a fake clock with seeded faults:
// accepting, the embedded log, delivering, the breaker, dead letters and replays, on a disk in
// memory, for any number of simulated hours.
//
// A world is one such history of some hundred hours, drawn from a seed. Bursts of requests come
// after long pauses. The destination is a store that is down for up to 72 hours, flaps, throttles,
// is slow, commits and does not say so, commits late, refuses some events for ever and some for
// good. The disk fails calls. The process is closed, killed and cut off its power at any moment,
// and the clock is set an hour back and forth, ten years ahead and to 1970. There are two
// destinations, each with a source of its own, and every life is opened with other rules than it is
// to have, three in ten of them without one source and its destination, and reloads the right ones.
// What must hold all the time:
//
//   - an acknowledged event is pending, stored or a dead letter, and not two of them;
//   - nothing is stored that was not sent, with other content, or under another key;
//   - an event is a dead letter only if its destination refused it, after exactly as many attempts
//     as the policy says, and none of them was spent by an outage;
//   - an event is written to its own destination, and to no other one;
//   - what is stored is settled once a life is drained;
//   - a poison event does not hold up the others;
//   - a letter that was replayed is stored, and one that was resolved stays so;
//   - timestamps never go back within a life, ids are unique, and the ledger balances.
//
// When the faults stop, everything is delivered or dead within hours, and replaying every letter,
// once what was refused is mended, stores all that is left.
//
// The fake clock gives time and no order: which of two goroutines runs first at one instant is the
// runtime's choice. So every fake call is delayed by some milliseconds that follow the seed. A
// world that is run again is the same in almost all cases, and not in all.
//
// It runs in a bubble of testing/synctest only, with real code everywhere but for the destination
// and the clock.
package sim
