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
func New(listeners []Listener, _ Options) (*Server, error) {
	errs := []error{ErrNotPossible}
	for _, listener := range listeners {
		errs = append(errs, listener.Close())
	}
	return nil, errors.Join(errs...)
}

// HandedOver is not reached.
func (s *Server) HandedOver() net.Listener { return nil }

// Run is not reached.
func (s *Server) Run(context.Context) error { return ErrNotPossible }

// Retire is not reached.
func (s *Server) Retire() {}

// Drain is not reached.
func (s *Server) Drain(context.Context) error { return ErrNotPossible }

// Close is not reached.
func (s *Server) Close() error { return nil }
