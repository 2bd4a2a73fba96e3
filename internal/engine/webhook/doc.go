// Package webhook is a destination behind HTTP: it posts events to a URL.
//
// A Write sends one request for each event, up to Concurrency at a time (SendEvent, SendBody), or one
// for the batch (SendLines, SendArray). A 2xx is the receiver's promise that it has stored what the
// request holds; nothing else is taken for one. The package promises that every request names its
// event by the same id however often it is sent (Webhook-Id, Idempotency-Key), that requests are
// signed by Standard Webhooks where there are secrets, and that no connection is made to an address
// that is not public unless that is allowed: addresses are looked at when they are connected to, so
// that neither a name nor an answer of DNS gets around it. Redirects are never followed.
//
// It does not promise that a receiver gets an event once: an answer may be lost, and then the event
// comes again. The receiver has to know its id. Nothing can be read back.
//
// What an answer means is a table (see outcomeOf, and docs/ENGINES.md): stored, refused for good,
// refused for now, or an outage. What looks like an outage and happens to few events of a Write
// while others are stored before and after it is laid to those events: see round.blame.
//
// A connection is kept for each request in flight. Memory is that of the bodies in flight.
package webhook
