// Package s3 keeps dead letters, and bodies that are too large to travel with their event, as
// objects in a bucket of Amazon S3 or of a store that speaks its protocol.
//
// # Names
//
// A dead letter is one object below the prefix, with the name and the content that package
// deadletterfile gives to files:
// "dead-letters/2026-11-23/20261123T141200.123456Z.events.019ab….json". A directory of package
// files can be copied into a bucket and back. A body is at
// "bodies/2026-11-23/20261123T141200.123456Z.019ab…", by the time of its event. Other objects are
// left alone.
//
// # Promises
//
// After Put or Resolve returned nil, the object is stored as S3 promises it: in several places, and
// read by every later read. Content goes with its SHA-256, which S3 checks, and which is checked
// again when it is read: a letter that is not what was written is a *pillarbox.CorruptError. A
// letter that moves to another name is stored under the new name before the old object is deleted.
// A crash in between leaves both: the one that was written last counts, and of two from the same
// second the resolved one. The others are deleted with the next Put or Resolve of that letter.
//
// Several processes may use the same bucket. One of them may see what another has written some
// seconds later (Options.Fresh), and counts then; Get looks again before it says that there is no
// letter.
//
// # Limits
//
// Letters lists the names of all letters when it is used first and keeps them in memory, about 300
// bytes each; one request lists 1,000. Writer, for who only adds letters, lists nothing and needs
// no permission but to put objects. What an object is encrypted with is the bucket's choice, unless
// Options.KMSKey says otherwise.
//
// A body is never deleted here: rows may refer to it for as long as they live. A body whose event
// was never accepted, because the queue failed right after it, stays as well.
//
// The URL is "s3://bucket/prefix".
package s3
