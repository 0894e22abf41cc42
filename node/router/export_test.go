package router

// Chain returns the chain in use.
func (s *Session) Chain() *Chain { return s.chain }

// Idle waits for what goes on in the background.
func (r *Router) Idle() { r.tasks.Wait() }
