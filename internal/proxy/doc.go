// Package proxy finds out who a request is from where proxies stand in front of the server: by the
// headers that they write, and by the PROXY protocol.
//
// It promises that nothing is believed of anybody who is not trusted: a list of addresses is walked
// from the right, from the connection on, and ends at the first address that is none of a trusted
// proxy. It reads no more of a connection than the header of the PROXY protocol, and knows no front.
package proxy
