// Package aws tests the engines and functions for AWS against a real S3 server and stand-ins for
// the rest. It is a module of its own, so that nobody who builds pillarbox has to fetch that
// server.
package aws
