// Package bus tests the destinations that are brokers against real ones in this process: a NATS
// server, and a Kafka broker in Go. It is a module of its own, so that nobody who builds pillarbox
// has to fetch them.
package bus
