package express

import (
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"pillarbox/internal/admission"
	"pillarbox/internal/opening"
	"pillarbox/internal/telemetry"
)

// openConn reads what stands before HTTP on a connection, on a goroutine of its own, since that
// waits. Then the loop gets it, or net/http where its client wants HTTP/2.
func (s *Server) openConn(pending pendingConn, opener *opening.Opener, to *loop) {
	raw, err := fileConn(pending.fd)
	if err != nil {
		s.opts.Logger.Warn("a connection could not be opened", telemetry.KeyErr, err)
		s.released(pending.counted)
		return
	}
	conn, secure, err := opener.Open(raw)
	if err != nil { // it is counted, and closed
		s.released(pending.counted)
		return
	}
	if !opener.Named() {
		var ok bool
		pending.addr = admission.AddressOf(conn.RemoteAddr())
		if pending.counted, ok = s.enter(pending.addr); !ok {
			s.opts.Closed(admission.OverItsBudget)
			_ = raw.Close()
			s.left()
			return
		}
	}
	if secure != nil && secure.ConnectionState().NegotiatedProtocol == opening.HTTP2 {
		counted := pending.counted
		under := &handedConn{Conn: raw, release: func() { s.released(counted) }}
		under.Seat = s.idle.Seat(under)
		secure.Attach(under)
		s.handed.put(secure.Conn)
		return
	}
	pending.secure = secure
	pending.fd, err = descriptorOf(raw)
	_ = raw.Close()
	switch {
	case err != nil:
		s.opts.Logger.Warn("a connection could not be taken over", telemetry.KeyErr, err)
		s.released(pending.counted)
	case !to.enqueue(pending): // the loop has ended
		_ = unix.Close(pending.fd)
		s.released(pending.counted)
	}
}

// fileConn makes a connection that may wait of a descriptor, which it takes over.
func fileConn(fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "connection")
	conn, err := net.FileConn(file) // has a descriptor of its own
	_ = file.Close()
	return conn, err
}

// descriptorOf is another descriptor of a connection or of a listener.
func descriptorOf(of any) (fd int, err error) {
	source, ok := of.(syscall.Conn)
	if !ok {
		return -1, fmt.Errorf("%T has no descriptor", of)
	}
	raw, err := source.SyscallConn()
	if err != nil {
		return -1, err
	}
	var failed error
	err = raw.Control(func(own uintptr) { fd, failed = unix.FcntlInt(own, unix.F_DUPFD_CLOEXEC, 0) })
	switch {
	case err != nil:
		return -1, err
	case failed != nil:
		return -1, os.NewSyscallError("dup", failed)
	}
	return fd, nil
}
