//go:build !linux

package benchmark

import "os"

func syncData(file *os.File) error { return file.Sync() }
