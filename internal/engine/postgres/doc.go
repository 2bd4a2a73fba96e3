// Package postgres is a destination in PostgreSQL 13 or newer, or what speaks like it (Aurora): one
// table, partitioned by day, that everybody can query while pillarbox writes to it.
//
// # Delivery
//
// Write is idempotent on the primary key (timestamp, request_id): an event that comes again changes
// nothing. One Write is one transaction: the events are copied into a temporary table, and from there
// those that are new are inserted. Rows that a trigger drops silently are named in a
// *pillarbox.BatchError while the others are committed. What the table refuses otherwise rolls all of
// it back, as a PermanentError, and the caller splits the batch. A connection that breaks in the
// middle of a commit leaves an outcome that nobody knows, which is ErrUnavailable: the events are
// written again, and stored once.
//
// # Durability
//
// After nil, the rows are as safe as the server makes a commit. Sessions set synchronous_commit to on
// where the server has it off; a server with fsync or full_page_writes off loses rows in a power cut
// whatever a client does, and is warned of. A standby makes it two nodes if synchronous_standby_names
// says so.
//
// # The table
//
// The columns are those of package sqlite: timestamp and stored_at as timestamptz, headers and
// attributes as jsonb, body as bytea, and the others as text. body_json is the body as jsonb where it
// is JSON that jsonb can hold: it takes neither NUL nor lone surrogates, and is NULL then. A query, a
// content type or a value of a header that is no text of PostgreSQL (invalid UTF-8, or a NUL) is in
// base64, as its encoding says; so are all of caller to attributes where one of them is none (fact_encoding). A NUL in
// any other text is refused for good.
//
// A table that is missing is made, partitioned by day, and the partitions of a day and the next one
// are made ahead, others when an event needs them. They are named TABLE_YYYYMMDD, and may be detached
// or dropped to delete a day. A table that somebody else has made is used as it is, partitioned or not,
// as long as it has the columns and a unique key of (timestamp, request_id), whose collation for
// request_id must be "C". Columns, indexes and triggers may be added.
//
// There is no index on request_id: a UUIDv7 tells its millisecond. Only events whose id is no UUIDv7 of
// their own time have a row in the small table TABLE_ids. pillarbox_store tells a table from every
// other one and from an older copy of itself, and pillarbox_purges has what Purge has deleted.
//
// # Limits
//
// A write goes to one connection and reads to up to three others. Sessions must stay with their client:
// behind PgBouncer that is its session mode. An event of more than MaxEventBytes is refused for good.
package postgres
