// Package deadletterfile is the form of a dead letter as a file: its name and its content. Engines
// that keep letters as files, whatever holds the files, share it, so that a letter can be moved
// from one to the other.
//
// A letter is at
//
//	2026-11-23/20261123T141200.123456Z.events.019ab123-4567-7abc-8def-0123456789ab.json
//
// the day of death, and then the event's timestamp, the destination and the request id, separated
// by dots. A destination has no dot in it ([a-z0-9][a-z0-9_-]{0,62}), so a name can be read in one
// way only. A request id that is no lower-case UUID stands as an "x" and the first 32 hex digits of
// its SHA-256, so no name holds a client's text. The state is in the name: ".json" is open,
// ".replayed.json" and ".discarded.json" are resolved; the content says so, too.
//
// The package promises that what it writes can be read again, and that no two letters share a name.
// It holds pure values and touches no file.
package deadletterfile
