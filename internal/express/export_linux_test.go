package express

// Held is what requests that are not complete hold.
func (s *Server) Held() int64 { return s.memory.Held() }

// Draining reports whether Drain was called.
func (s *Server) Draining() bool { return s.draining.Load() }
