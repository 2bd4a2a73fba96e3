// Package certificate is the certificates of a listener that are kept in files: they are read at the
// start, and anew whenever the files change.
//
// It promises that a pair is never in force of which one half does not fit the other: what can't be
// read, or does not match, leaves the one before in force, is told, and is looked at again. It knows
// no listener.
package certificate
