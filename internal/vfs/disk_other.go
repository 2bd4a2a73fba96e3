//go:build !linux

package vfs

import "os"

// datasync flushes the file; on macOS os.File.Sync asks the drive to flush its cache too (F_FULLFSYNC).
func datasync(file *os.File) error { return file.Sync() }
