// Package files keeps dead letters as files that people can read: one indented JSON file per event
// and destination, in a directory per day of death.
//
// Package deadletterfile says how the files are named and what is in them. Other files in the
// directory are left alone, and are not counted.
//
// # Promises
//
// After PutMany or ResolveMany returned nil, the letters survive a crash and a power cut in the
// state they were given: they are in a journal, which was synced once for all of them. They are
// listed and counted from then on. Their files follow, in groups: all of them are there when Close
// has returned nil, and after a crash the next Open makes those that are missing, none twice. A
// letter that moves to another name (resolved, opened again, or put with another day of death) is
// durable under the new name before the old one is removed.
//
// A letter whose file was there and has been removed by hand is missing: it is counted and named as
// such, and not made again. Only in the moment between a file's getting its name and the group's
// being noted as filed, a crash can bring it back.
//
// A file that can't be read as the letter it is named after is reported as a
// *pillarbox.CorruptError, counted by its name and never deleted, except by a PutMany of the same
// letter. The JSON has no checksum: a changed byte is noticed only where it breaks the form or the
// key. Journals and index have checksums. A journal that is damaged is kept aside; an index that is
// damaged is mended from the files.
//
// # Limits
//
// An index on the disk knows of each letter what a filter may ask, so that PutMany, Get,
// ResolveMany, Count and Summaries need not search; memory does not grow with the number of
// letters, except for a while: Open holds some 100 bytes for each, and List, Summaries and the
// check of a directory as much for those of one day. A file that somebody adds by hand is seen by
// List at once and by the others after that, or within minutes; one that is removed is noticed by
// List, when it is asked for, or within minutes; one that is edited is read anew within minutes if
// its size has changed, and else when it is opened. At most DefaultMaxBacklog bytes of letters wait
// for their files; who puts more waits. Only one process may use the directory at a time; its owner
// locks it.
//
// The URL is "files:dir", relative to the data directory.
package files
