//go:build !linux

package express

import (
	"context"
	"errors"
	"net"
)

// Server can't be made on this system.
type Server struct{}

// Possible returns nil where express works, and else why not.
func Possible() error { return ErrNotPossible }

// New returns ErrNotPossible, and closes the listener as it does elsewhere.
func New(listener *net.TCPListener, _ Options) (*Server, error) {
	return nil, errors.Join(ErrNotPossible, listener.Close())
}

// HandedOver is not reached.
func (s *Server) HandedOver() net.Listener { return nil }

// Run is not reached.
func (s *Server) Run(context.Context) error { return ErrNotPossible }

// Drain is not reached.
func (s *Server) Drain(context.Context) error { return ErrNotPossible }

// Close is not reached.
func (s *Server) Close() error { return nil }
