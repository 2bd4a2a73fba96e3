package vfs

import "syscall"

var unreadable = []error{syscall.EIO, syscall.EBADMSG, syscall.EUCLEAN, syscall.ENODATA,
	syscall.EREMOTEIO}
