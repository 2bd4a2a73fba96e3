// Package load sends HTTP requests over loopback or a network and measures the answers.
//
// A run is closed or open. In a closed loop each connection sends its next request when the answer
// to the last one is there, which shows how much a server can do. In an open loop requests are due
// at a fixed rate, whatever the server does; latency counts from the moment when a request was due,
// so that a server that stalls is not excused from the requests that it kept from being sent (no
// coordinated omission).
//
// The package is cheap on purpose, because it usually shares the machine with what it measures: the
// request is encoded once, the connections are raw TCP, and answers are read by a small strict
// reader that knows Content-Length and keep-alive and nothing else. On Linux a few threads with
// epoll serve all connections; elsewhere each connection has a goroutine. It does not do TLS,
// chunked answers, redirects or pipelining.
package load
