// Package intake is the public listener on net/http: single events and batches to receipts.
//
// It promises that a 2xx is written only after the acceptor has returned a receipt, that a body
// counts only if it ended cleanly and matches its length, that our own fault is a 5xx and never a
// 4xx, that every error is an application/problem+json (RFC 9457), and that every size and wait has
// a limit with a name. Who may come in is decided by the source (package source), before the body
// is read. The errors that net/http answers before it calls a handler are its own: 417, and 400 for
// a target that is no URL; heads that can't be read are refused below it, by package framing.
//
// It does not decode bodies: gzip is answered with 415.
package intake
