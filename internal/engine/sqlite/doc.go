// Package sqlite is the default destination: one SQLite database file with one table, events, that
// any SQLite client can read while pillarbox writes to it.
//
// # Delivery
//
// Write is idempotent on the primary key (timestamp, request_id): an event that comes again changes
// nothing, so delivery at least once leaves each event in the table exactly once. One Write is one
// transaction. Rows that the table refuses (a CHECK, a UNIQUE index or a trigger that somebody
// added) are named in a
// *pillarbox.BatchError while the others are committed. After nil, every event is in the table; a trigger that
// drops rows by RAISE(IGNORE) counts as a refusal.
//
// # Durability
//
// The database is in WAL mode with synchronous=FULL: when Write returns nil, the rows survive a
// crash of the process and a power cut, as long as the disk keeps what it acknowledged. The
// directory is synced when the database is made. On opening, what an earlier life left in the WAL
// is synced too: those rows can be read, but the process may have died before they were on the
// disk, and a Write that finds them there would otherwise promise what nobody synced. After an I/O
// error the database is used again only when the whole WAL has been copied into the database file,
// because a sync that failed once proves nothing when it succeeds later.
//
// # When the database is broken
//
// A database that is missing, locked, read-only, full or damaged makes Write fail with
// pillarbox.ErrUnavailable and a hint at what to do; Open succeeds all the same, and each Write
// tries again. A database that was deleted while it was open is noticed and made anew; one that was
// replaced is opened. In both cases the WAL of the old file is kept beside it under a name that
// ends in ".orphan-" and a number. Directories are never made: a missing one is more likely a disk
// that is not mounted.
//
// # The table
//
// The columns are timestamp (TEXT, RFC 3339 UTC with six decimals), request_id, source, method,
// path, query, content_type, headers (JSON object of name to list of values), remote_addr,
// traceparent, body, stored_at (when the row was first written), query_encoding,
// content_type_encoding, header_encoding, and what is known beside the request: caller, ce_id,
// ce_source, ce_type, ce_time, ce_subject, removed and attributes (JSON object of name to text), each NULL
// where it is not. The body is TEXT where it is valid UTF-8 without a
// zero byte, so that json_extract(body, '$.a') works, and a BLOB otherwise; reading gives back the
// same bytes either way. Headers are kept as their JSON form keeps them. Every other text is valid
// UTF-8: a query or content type that is not, and all values of headers of which one is not, are in
// base64, and their encoding says so; it is NULL everywhere else. A table that was made without
// these columns gets them when it is opened for writing, and its invalid texts are encoded then,
// once; a warning tells how many. One that was made without the columns from caller on gets them
// without a row being read.
//
// There is no index on request_id: a UUIDv7 tells its millisecond, and a lookup reads the rows
// around it by primary key. Only events whose id is no UUIDv7 of their own time have a row in the
// small table event_ids. Rows that somebody adds by hand need one there, too, if they are to be
// found by such an id. Columns, indexes, triggers and tables may be added; a missing table or
// column makes the database unavailable.
//
// What Purge has deleted is in the table pillarbox_purges, a row for each purge: when, the source
// (empty for all), the bound that it has come to, and how many events. The first purge makes it.
//
// # Limits
//
// An event of more than MaxEventBytes is refused for good. A connection uses up to 256 MiB of
// memory for very large events and a few MiB otherwise; there is one for writing and up to four for
// reading, so reads never wait for writes. The WAL is kept below about 64 MiB unless another
// program keeps a read transaction open. Network file systems are not supported, because WAL mode
// needs shared memory.
//
// The URL is "sqlite:" for DESTINATION.db in the data directory, or "sqlite:relative/path.db".
package sqlite
