package router

// Chain returns the chain in use.
func (s *Session) Chain() *Chain { return s.chain }
