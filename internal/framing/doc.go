// Package framing decides where a request of HTTP/1 ends. It is the one place that does, for the
// event loop and for net/http alike.
//
// It promises that a request whose end two servers in a row could read in two ways (RFC 9112) is
// refused and its connection closed, wherever it stands on its connection, and that no byte of its
// head and nothing behind it reaches a handler. A body that breaks its framing ends with an error
// and never with io.EOF, so that whoever stores only what ended cleanly stores nothing of it.
//
// Head has the rules of a head, Filter those of all that follows, and Serve puts a Filter under an
// http.Server. The rules are stricter than net/http's where that reads what others don't: a bare
// LF, a folded line, a space before a colon, a length that is given twice. Docs of what is refused:
// docs/decisions/0024.
//
// It does not look at paths, at limits of bodies, nor at what a request asks for. A connection that
// is hijacked stays under the rules of HTTP/1: nothing here hijacks one.
package framing
