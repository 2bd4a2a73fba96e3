// Package pillarbox holds the words and the roles of the product, and nothing that does work.
//
// The words are Event, Receipt, Delivery, Outcome, Attempt and DeadLetter. The roles are Queue
// (keeps events durable between accepting and delivering), Sink (where events are delivered) and
// DeadLetters (where events go that a destination refused for good). Every engine under
// internal/engine fills one of the roles; the rules (stamping, batching, retrying, dead-lettering)
// stand above the roles and exist once.
//
// The package promises to import the standard library only, and to change a role's contract only
// together with the suite in internal/engine/enginetest. It does not open, retry, batch, log or
// measure anything.
package pillarbox
