// Package sqs is a queue in Amazon SQS, for a server and for functions.
//
// A message is one event as JSON, in the form that the API and the files have, or a dead letter
// that somebody put back, which is delivered as its event, however old that is. A body that would
// make the message larger than the queue takes goes to Options.Bodies, and the message carries the
// claim.
//
// # Promises
//
// Append returns nil after SQS has confirmed each message; SQS keeps it in several places then.
// Messages that SQS refuses or doesn't confirm are named by a *pillarbox.BatchError.
//
// Messages of several Appends that fill no batch are gathered and share a call, because SQS is paid
// by the call. Append returns after SQS has confirmed its own messages all the same, and with the
// errors of its own messages. The price is a wait of at most Options.Linger, and of nothing while
// no such call is under way. A call that is shared is not cut off when somebody gives up: Append
// returns at once then, and says that the outcome of what was not answered is unknown.
//
// An event is handed out to one reader at a time, as far as SQS can promise it: what is in flight
// here is kept invisible to others for as long as it is in flight. SQS may hand a message out twice
// all the same, and in any order; sinks are idempotent. An event is deleted only when it is settled
// as stored, skipped or dead.
//
// A message that can't be read, or whose claimed body is gone, is handed out as rejected, so that
// it becomes a dead letter with its text, or with the claim of its body. Nothing is dropped.
// Package sqsrules has the rules for messages that hold for functions too.
//
// Each message has the source of its event as its message group, so that in a standard queue, which
// is fair between groups, a source that fills it does not make the others wait. A source that SQS
// does not take as a name has none.
//
// # What SQS counts, and what it doesn't
//
// The attempts of an event are the times that SQS has handed it out, because that number survives a
// crash and is shared by all readers. Attempts that were made here are known with their errors
// until the process ends; the others have no more than their number.
//
// An outage of the destination uses up no attempts, and no receives: what is released stays in
// flight here, and is leased again without asking SQS. A process that ends, and each 12 hours, cost
// a receive of what is in flight, and so does a single event that is to wait, or whose body can't
// be had now, each time. None of them counts as an attempt here. An event that comes near its last
// receive that way, before SQS would move it to the queue of dead letters, is sent again as a new
// message, before the old one is deleted; its attempts begin anew then. One that is older than
// Options.MaxAge is not. What is in flight here is with no other reader meanwhile; Close gives it
// back to them.
//
// Neither errors of attempts nor rejections are durable. After a crash an event that was rejected
// is tried once more, or rejected again at once if its attempts were used up.
//
// SQS has no count of what was ever sent, so Account says Uncounted: what was accepted is what the
// other counts add up to, and how much is pending is SQS's approximation.
//
// # Limits
//
// One SQS queue feeds one destination. FIFO queues are not supported: they hold up all events
// behind one that is refused. A process fetches while it has fewer than MaxHeld events and about
// MaxHeldBytes in flight that are not leased; what is released comes on top. An event can be in
// flight, or wait for its next attempt, for 12 hours at most; then SQS hands it out again. SQS
// deletes messages after the queue's retention, 14 days at most: queue.max_age must be shorter, so
// that events become dead letters before that.
//
// The URL is "sqs://sqs.REGION.amazonaws.com/ACCOUNT/NAME", or "sqs:" before the whole URL of the
// queue.
package sqs
