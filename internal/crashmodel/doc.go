// Package crashmodel holds the embedded log and the dead letters against every state that a power
// cut may leave.
//
// In some worlds all that is written is sealed (package atrest), in some by turns.
//
// A world is one history of appends, deliveries, refusals, dead letters, replays, trims and
// restarts on a disk in memory (package faultfs), drawn from a seed. After every operation that
// changes the disk, the power is cut in many ways: what was not synced is dropped, kept, or torn at
// sectors with zeros or garbage in the holes, and names are lost unless their directory was synced.
// Each state that differs from the ones before is opened, and while it recovers, the power is cut
// once more. What must hold, in every one of them:
//
//   - an acknowledged event is there until it is durable in its destination or has its dead letter;
//   - nothing is there that was not sent, everything has its own bytes, and nothing is there twice;
//   - an attempt, a rejection or a dead-lettering that was durable still is, and so is a letter and its resolution;
//   - the account balances, and no crash is taken for damage;
//   - recovering again, after a close, a kill or another cut, finds the same;
//   - the start is never refused, and nothing panics.
//
// It proves nothing about a real disk, a real kernel or the syscalls in between: that is what
// cutting the power of a real file system is for.
package crashmodel
