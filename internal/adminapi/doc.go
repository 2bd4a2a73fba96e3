// Package adminapi is the admin API: what a person and a monitor see of a node, and what they can
// do.
//
// It is served from the views of a node, through the interface Node, and holds no rule of its own
// about events. It promises that routes, parameters and statuses are those of its tables, to which
// /openapi.yaml is held by tests; that an error with a status outside of them is a 500; that every
// error is an application/problem+json (RFC 9457) which says what to do; and that a body is read
// strictly. Without a token it serves this machine only, and keeps out the pages of others that run
// in its browsers. Streams end with Close, and when their reader is too slow.
//
// The types of its answers are declared here, and nowhere else: the client uses them.
package adminapi
