package faultfs

import "fmt"

// Kind is the kind of an operation.
type Kind int

// The operations that are counted, and that can be made to fail. Close and Size always succeed on
// an open file.
const (
	OpenFile Kind = iota + 1
	Mkdir
	Rename
	Remove
	ReadDir
	SyncDir
	Usage
	Read
	Write
	Sync
	Truncate
)

var kindNames = [...]string{
	OpenFile: "open", Mkdir: "mkdir", Rename: "rename", Remove: "remove", ReadDir: "readdir", SyncDir: "syncdir",
	Usage: "usage", Read: "read", Write: "write", Sync: "sync", Truncate: "truncate",
}

func (k Kind) String() string {
	if k < OpenFile || k > Truncate {
		return fmt.Sprintf("Kind(%d)", int(k))
	}
	return kindNames[k]
}

// Op is one operation.
type Op struct {
	Index   int    // position among all operations, from 0
	Kind    Kind   //
	Name    string // as the caller gave it; of a file operation, the name that the file was opened by
	NewName string // of a Rename
	Flag    int    // of an OpenFile
	Offset  int64  // of a Read or Write, in bytes; of a Truncate, the new size
	Length  int    // of a Read or Write, in bytes
}

// ShortWrite, returned by the function given to Inject, lets the first N bytes of a Write through
// and then fails it with Err. Any other operation just fails with Err.
type ShortWrite struct {
	N   int
	Err error
}

func (e *ShortWrite) Error() string {
	return fmt.Sprintf("short write of %d bytes: %v", e.N, e.Err)
}

// Unwrap returns the error that the operation fails with.
func (e *ShortWrite) Unwrap() error { return e.Err }
