// Package nats is a destination on NATS JetStream: it publishes events to a subject.
//
// A Write publishes one message for each event, up to Window of them on their way, and waits for the
// acknowledgement of each. An acknowledgement says that the leader of the stream has stored the
// message, and with replicas that a majority of them has it. It does not say that a disk has it: a
// server syncs every two minutes unless sync_interval is set to always, which no client can see. So
// what was acknowledged survives a crash of the process, a power cut of one server of a stream with
// three replicas, and a power cut of the only server where it syncs always.
//
// The package promises that a message has the same Nats-Msg-Id however often its event is written,
// so that a stream drops what comes again within its window of duplicates (two minutes by default).
// Later, it is stored again: consumers have to know the request id. The id is of the subject too,
// because a stream with several subjects has one window for all.
//
// A stream is made where none has the subject, and never changed. Nothing can be read back. There is
// one connection; it is made by the first Write or Check, and anew by the next one after it was lost.
// Memory is that of the messages on their way.
package nats
