// Package enginetest holds the contract suites: one per role, and every engine passes the suite of
// its role.
//
// A suite tests what the comments on the role promise and nothing else, through the role's
// interface alone, so that it can be run against any engine. What an engine promises beyond the
// role is tested beside the engine. The in-memory engines pass first: they are the specification
// that runs.
//
// Each suite opens a fresh, empty store per story with the function it is given, and closes it.
// Suites for durable engines (the names that end in Durable) also close a store and open it again.
//
// The package is for tests only. Everything in it is deterministic; random stories print their
// seed.
package enginetest
