package express

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"pillarbox/internal/proxy"
)

// receive reads what is there. It never waits, so it does without the bookkeeping that Go makes
// around calls that may.
func receive(fd int, b []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_DONTWAIT, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// send writes what fits, and never waits either.
func send(fd int, b []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

// poll returns the events that are there.
func poll(epoll int, events []unix.EpollEvent) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)), 0, 0, 0)
	return int(n), errno
}

// takeListener returns a descriptor of the listener for the loop alone. The listener itself is
// closed, because Go's own poller would wake up for each connection as well; of one with a name in
// the file system, only what listens is, and the name stays until the server is closed. What is set
// here is set on the connections too.
func (s *Server) takeListener(listener net.Listener) (int, error) {
	fd, err := descriptorOf(listener)
	if err != nil {
		return -1, err
	}
	if _, ok := listener.Addr().(*net.UnixAddr); ok {
		s.named = append(s.named, listener)
		if quiet, ok := listener.(interface{ StopListening() error }); ok {
			return fd, quiet.StopListening()
		}
		return fd, nil
	}
	for _, option := range [][3]int{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, keepAliveSeconds},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, keepAliveSeconds},
	} {
		if err := unix.SetsockoptInt(fd, option[0], option[1], option[2]); err != nil {
			_ = unix.Close(fd)
			return -1, os.NewSyscallError("setsockopt", err)
		}
	}
	return fd, listener.Close()
}

// keepAliveSeconds is what package net sets.
const keepAliveSeconds = 15

// addressOf returns the IP address in the form of package net, without port.
func addressOf(from unix.Sockaddr) string {
	switch from := from.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(from.Addr).String()
	case *unix.SockaddrInet6:
		address := netip.AddrFrom16(from.Addr).Unmap()
		if from.ZoneId != 0 && address.Is6() {
			address = address.WithZone(zoneName(int(from.ZoneId)))
		}
		return address.String()
	}
	return proxy.Unix
}

func zoneName(id int) string {
	if device, err := net.InterfaceByIndex(id); err == nil {
		return device.Name
	}
	return strconv.Itoa(id)
}

// text is b as a string that changes when b does. It may be used for as long as b is left alone.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
