// Package protocol is what every way in by HTTP has in common, so that a client can't tell them
// apart: the one table from kinds of errors to statuses, problems (RFC 9457), receipts, and which
// bodies are taken.
//
// It promises that an error becomes a status in one place, that our own fault is a 5xx whose
// details stay in the log, and that 429, 503 and 507 say when to try again. It makes answers and
// sends none: the listeners and the functions in the cloud do that.
package protocol
