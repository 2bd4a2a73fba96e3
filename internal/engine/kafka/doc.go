// Package kafka is a destination on Kafka: it produces events to a topic.
//
// A Write produces one record for each event and waits until all in-sync replicas have each of them
// (acks=all, idempotent producer). That says that they have it in memory: Kafka does not sync a disk
// before it answers. With three replicas and min.insync.replicas of two, what was acknowledged
// survives the crash and the power cut of one broker; with fewer it may not, which is warned of.
//
// The package promises that the record of an event names it by the same id however often it is
// written. It does not promise that a topic has an event once: the producer drops what its own tries
// have stored twice, and nothing drops what is written again after a crash or a timeout. Consumers
// have to know the request id, which is the key as well unless that is configured otherwise, so that
// what comes again is in the same partition.
//
// The client does not take back what it has sent: after the end of its time the outcome of a Write is
// not known, and it is told as an outage. A topic is made where it is missing, and never changed.
// Nothing can be read back. Memory is that of the records on their way.
package kafka
