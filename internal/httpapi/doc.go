// Package httpapi is the HTTP side: the public listener that accepts, the admin API, and the Go client for it.
//
// It promises that a 2xx is written only after the acceptor has returned a receipt, that a body counts only if
// it ended cleanly and matches its length, that our own fault is a 5xx and never a 4xx, that every error is an
// application/problem+json (RFC 9457) which says what to do, and that every size and wait has a limit with a
// name. The errors that net/http answers before it calls a handler are its own: 417, and 400 for a target that is no
// URL; heads that can't be read are refused below it, by package framing. It does not decide what is stored, delivered or replayed: those verbs are called through
// small interfaces, of which Desk is the one of the admin API. Routes, parameters and statuses of the admin API stand
// in tables that /openapi.yaml is held to by tests; an error with a status outside of them becomes a 500. Without a
// token the admin API serves this machine only, and keeps out the pages of others that run in its browsers.
//
// Idempotency keys, content encodings and authentication of senders are not part of it yet; their
// place is at the head of accept, before the body is read.
package httpapi
