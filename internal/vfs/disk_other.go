//go:build !linux

package vfs

import "os"

// datasync flushes the file; on macOS os.File.Sync asks the drive to flush its cache too
// (F_FULLFSYNC).
func datasync(file *os.File) error { return file.Sync() }

// syncFileSystem is a matter of Linux.
func syncFileSystem(*os.File) (done bool, err error) { return false, nil }

// dontNeed is a matter of Linux.
func dontNeed(*os.File) error { return nil }

// directWrites are a matter of Linux.
type directWrites struct{}

func (directWrites) begin(*os.File, int64) []byte { return nil }

func (directWrites) end(*os.File) error { return nil }
