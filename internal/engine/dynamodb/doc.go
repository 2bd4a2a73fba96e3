// Package dynamodb is a destination in Amazon DynamoDB: one table of events, and optionally an
// index of it by time.
//
// # The table
//
// The key is Timestamp (hash) and RequestId (range), both text. The other attributes are Source,
// Method, Path, Query, Headers (a map of name to a list of values), ContentType, RemoteAddr,
// Traceparent, Body, StoredAt, TimeBucket, TimeSort, and what is known beside the request: Caller,
// CeId, CeSource, CeType, CeTime, CeSubject and Attributes (a map of name to text). Empty ones are left out. Texts and the body
// are of the type S where they are valid UTF-8, and B otherwise, values of headers included, so
// that every byte comes back; names of headers that are not are kept with U+FFFD in them, as their
// JSON form is. The order of headers with different names is not kept.
//
// The index, Options.Index, has TimeBucket (hash) and TimeSort (range). TimeBucket is the hour of
// the timestamp and a shard, "2026-11-23T14#3"; the shard is a hash of the request id modulo
// Options.Shards. TimeSort is the whole key, "<Timestamp>#<RequestId>". Items have both attributes
// in any case, so that an index can be added later. The number of shards may be raised and never
// lowered: readers ask shards 0 to Shards-1. The index may hold the keys only, or everything; then
// the items are not read a second time.
//
// # Delivery
//
// Write is idempotent on the key. An event that comes again overwrites itself: BatchWriteItem knows
// no conditions. So StoredAt is the time of the latest write, and not, as with other stores, that
// of the first.
//
// Items that DynamoDB hands back as unprocessed are sent again within the same Write, a few times
// and for less than a second, because that is how BatchWriteItem is defined; what is left then is
// named in a *pillarbox.BatchError and matches pillarbox.ErrUnavailable. The SDK's retries are off
// for writes, except for one more try where the connection broke, as it does to a function that was
// frozen. For reads the client's own retries apply.
//
// A table that is missing, throttling, missing permissions or credentials, a key that can't be used
// and everything of the kind are outages: no event is to blame. Nor is one where DynamoDB says that
// the table has other keys. Refused for good is an event whose request id is empty, no UTF-8 or
// longer than MaxIDBytes, and one that is too large.
//
// # Size
//
// An item may have 400 KB. A body with which it would be larger is put into Options.Bodies first,
// and the item has its claim in BodyClaim instead: a map of Key, Bytes and Sha256. Reading brings
// it back and checks it. Without Bodies such events are refused for good, and so is one whose other
// parts alone are too large.
//
// # Durability
//
// When Write returns nil, DynamoDB has the items in several places, and they survive whatever
// DynamoDB survives.
//
// # What reading sees, and costs
//
// Missing, StoredAt and Count, and without an index everything else, read consistently: they see
// every write that has returned. An index is eventually consistent, mostly within a second: what
// List and Find read by it may lack the latest writes, and a body or an item that was deleted
// meanwhile is left out or reported.
//
//   - Missing and StoredAt read the items of the keys: half a read unit for 4 KB each, doubled by consistency.
//   - Count reads the whole table.
//   - Find of a UUIDv7 asks the index for the half second around its time: one query for each shard. Where that finds
//     nothing, or the id is another, it reads all keys of the index, or without an index the whole table.
//   - List with an index asks hour by hour, one query for each shard, and reads the items that it returns. It begins
//     at Since, Until or After, or at an hour from now. After MaxEmptyHours hours with nothing in them, and where it has
//     no beginning, it reads all keys of the index to find the next hour that has something; the last page of a list
//     without a bound at its end costs that, too. A filter by request id reads all keys of the index, unless Since and
//     Until are less than MaxEmptyHours apart.
//   - List without an index reads the whole table for each page.
//
// Events more than an hour ahead of this machine's clock are listed only by an Until behind them,
// or without an index.
//
// The URL is "dynamodb://REGION/TABLE?index=NAME&shards=N".
package dynamodb
