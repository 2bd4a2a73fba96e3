// Package faultfs is an in-memory file system that loses what a real one may lose.
//
// It keeps, beside the content that readers see, what is durable: the content of a file as of its
// last successful Sync plus the unsynced writes in order, and the names in the directories as of
// their last SyncDir plus the unsynced creations, renames and removals in order. Crash builds from
// that a state which a power cut could leave behind, as a new file system; the old one goes on as
// if nothing had happened, so that one run yields any number of crash states. Beyond that it fails
// operations on demand (Inject), runs full (Options.Space) and rots (Flip).
//
// What it takes for granted about the disk: a sector of 512 bytes holds one of the versions that
// were written to it, or, in the modes Zeros and Garbage, has its newly written bytes destroyed.
// Bytes that no unsynced write covered are never damaged. A rename shows the old name or the new
// one, never both, never neither.
//
// It is for tests: it keeps all content in memory and runs one operation at a time.
package faultfs
