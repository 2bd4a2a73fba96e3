// Package opening is what stands at the start of a connection before HTTP: a header of the PROXY
// protocol, and a handshake of TLS.
//
// It promises that connections which never finish theirs cost a bounded amount of memory and of the
// processors: there may be so many at a time, each has so long, few compute at a time, and where
// there is no room, the one whose client has been waited for the longest goes. After that, a
// connection with TLS can be read and written without ever waiting, as an event loop needs it. The
// package knows neither HTTP nor an event.
package opening
