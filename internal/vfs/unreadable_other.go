//go:build !linux

package vfs

import "syscall"

var unreadable = []error{syscall.EIO, syscall.EBADMSG}
