// Package seglog is the embedded queue: an append-only log in segment files, with one cursor per
// destination.
//
// It promises what pillarbox.Queue asks for, on one disk that honours flush:
//
//   - Append returns after one fdatasync that covers all appends waiting at that moment (group
//     commit).
//   - A segment is written by one process life only. Each start, and each I/O error, begins a new
//     segment, whose header states where the one before ends. Nothing of an earlier life is ever
//     written to again.
//   - A failed write or fdatasync is final for its file; what is known to be durable is kept and
//     the group is written once more, to a new segment.
//   - Damage is told from a torn tail by a later valid frame. Damaged records are reported with
//     file and offset and counted as lost; every other record is delivered. Damaged files end in
//     the quarantine directory, never in a removal.
//   - A segment is removed only after the cursors that passed it are durable.
//   - Opening reads the segment headers, the tail segment and the delivery states, not the backlog.
//     Memory does not grow with the backlog.
//
// It does not promise anything about a lost disk, a disk that acknowledges flushes it did not do,
// or network file systems. It knows nothing of retry policy, batching or dead letters: it keeps
// what it is told.
//
// The bytes are described in docs/FORMAT.md, the crash cases in docs/DURABILITY.md, the moving
// parts in DESIGN.md beside this file. It works on vfs.FS only.
package seglog
