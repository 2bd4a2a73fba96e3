// Package files keeps dead letters as files that people can read: one indented JSON file per event and
// destination, in a directory per day of death.
//
// Package letterfile says how the files are named and what is in them. Other files in the directory are left
// alone, and are not counted.
//
// # Promises
//
// After Put or Resolve returned nil, the letter survives a crash and a power cut in the state it was given:
// content is synced under a temporary name, renamed, and the directory synced. A letter that moves to another
// name (resolved, opened again, or put with another day of death) is durable under the new name before the old
// one is removed. A crash in between leaves both; the resolved one then counts, and of two open ones the one
// with the later day, which is right because the call had not returned. The other is removed by Open, if the
// one that counts can be read.
//
// A file that can't be read as the letter it is named after is reported as a *pillarbox.CorruptError, counted
// by its name and never deleted, except by a Put of the same letter. The JSON has no checksum: a changed byte
// is noticed only where it breaks the form or the key.
//
// # Limits
//
// Each letter takes about 150 bytes of memory, so that Put, Get, Resolve and Count need not search; Open reads
// the names of all files, not their content. List holds the names of one day. A file that somebody adds by
// hand is seen by List at once and by the others after that; one that is removed by hand is noticed when it is
// asked for. Only one process may use the directory at a time; its owner locks it.
//
// The URL is "files:dir", relative to the data directory.
package files
