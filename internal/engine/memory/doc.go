// Package memory holds engines that keep everything in memory: for tests, and as the executable
// specification of the roles. They pass the suites in internal/engine/enginetest before any other
// engine does.
//
// Nothing is durable: what was stored ends with the process. There is no limit either; the caller
// bounds what it puts in. The hooks let a test play a store that refuses, that is down, or that
// fails after it has stored.
package memory
