package seglog

// isAside reports whether an event below the cursor is not settled.
func (c *consumer) isAside(seq uint64) bool {
	return c.state.held.has(seq) || c.state.deferred.has(seq) || c.state.unread.has(seq)
}
