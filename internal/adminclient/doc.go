// Package adminclient calls the admin API, over a connection or in this process, and posts to the
// public listener.
//
// Errors that a server answers are *ProblemError and match the kinds of the root package, so that a
// caller can't tell whether it asks a server or a data directory that it opened itself. It retries
// nothing but a stream of events that lagged.
package adminclient
