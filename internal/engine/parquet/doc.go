// Package parquet is a destination in a directory of Parquet files, or in a part of a bucket, that DuckDB, Athena, Spark, pyarrow
// and ClickHouse read while pillarbox writes to it.
//
// # The directory
//
// Files are in Hive partitions of the event's timestamp in UTC: source=S/day=YYYY-MM-DD/hour=HH. What
// of the name of a source is no letter, digit, "-", "_" or "." is percent-encoded. The columns are those
// of package sqlite: timestamp and stored_at as TIMESTAMP(MICROS, UTC), headers and attributes as JSON
// text, body as binary, and the others as text; what an event need not have is NULL. Rows are in the
// order of their key, (timestamp, request_id), compressed by zstd, with statistics, a page index and a
// Bloom filter of request_id. A query, a content type or values of headers that are no UTF-8 are in base64,
// as their encoding says; so are all of caller to attributes where one of them is none (fact_encoding).
// Any other text that is no UTF-8 is refused for good.
//
// What is pillarbox's own is in _pillarbox, which readers of partitions pass over: manifest.json names
// the files that count, in duckdb.sql is a view of them.
//
// # Delivery
//
// Write is idempotent on the key: an event that comes again changes nothing. Keys are looked up in those
// files of their hour whose range of keys has them, by Bloom filter, and in the pages that may hold them;
// events that are newer than all that is stored ask none. One Write is one change of the manifest: its
// files are written under temporary names, synced, named in an intent, renamed, their directories synced,
// and then the manifest is replaced, which is the moment at which they count.
//
// # Durability
//
// After nil, the events survive a crash and a power cut, as long as the disk keeps what it acknowledged.
// The next start undoes what was begun and not finished.
//
// # What readers see
//
// Who reads the files that the manifest names meets each event that is stored once, at every moment. Small
// files are put together in the background, once their hour is over or there are many of them; the
// ones that are replaced are kept for Options.Grace, so that they can still be read by who has read the
// manifest before. Who reads all files instead, by a glob such as **/*.parquet, may meet events twice
// while the store is open, and meets each of them once after Close, and at the start.
//
// # Purging
//
// A step of a purge is one change of the manifest, too: a file is replaced by one without the purged
// events, or files of which nothing is left count no more, and the same manifest remembers how many events
// that were. The old files are removed at once, so that what is purged is gone; a reader that has their
// names finds them missing.
//
// # What is wrong with a directory
//
// A directory has one writer, which locks it. One that is missing, locked, full or damaged makes each
// call fail with pillarbox.ErrUnavailable, and is tried again. A directory that has anything in it and no manifest is refused;
// nothing is deleted to get started. A file of events that is damaged or gone is named: List counts its events as
// unreadable and returns the others, and events whose keys are in its range are refused, for now,
// because nobody can tell whether they are stored.
//
// # In a bucket
//
// The same is in a part of a bucket (OpenBucket), which several may write to: the manifest is replaced only
// where it is the one that this store has put last. Who opens the place last has it; the other one's calls
// fail with ErrUnavailable until that one is closed. An object is there as a whole or not at all, so that the
// only files that can be left over are those that an intent names; each writer has its own.
//
// # Limits
//
// An event of more than MaxEventBytes is refused for good. A batch is in memory
// twice while it is written, and a compaction takes some 100 MiB. The manifest takes about 50 bytes for each day that has events,
// and of the files those of some days are in memory. Nothing is encrypted at rest. The day and hour
// of an event must be between the years 0000 and 9999.
package parquet
