package store

import "sync"

// Claim keeps room for what is being stored, as long as it runs, from others that ask CheckModel or
// Claim: who could not end does not begin. It is in memory only. Make it with Store.Claim, and end
// it with Release. It is safe for concurrent use.
type Claim struct {
	s    *Store
	what string

	mu   sync.Mutex
	left int64
}

// Claim is CheckModel, and keeps that room for what is named; what two of one name store counts
// once. nil is returned with an error.
func (s *Store) Claim(what string, size int64) (*Claim, error) {
	s.beginning.Lock() // between a look at the room and taking it nobody else looks
	defer s.beginning.Unlock()
	c := &Claim{s: s, what: what, left: size}
	if err := s.CheckModel(size - min(size, s.claimOf(what))); err != nil {
		return nil, err
	}
	s.claiming.Lock()
	defer s.claiming.Unlock()
	s.claims[c] = struct{}{}
	return c, nil
}

// Left takes note that so many bytes are yet to be stored.
func (c *Claim) Left(size int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = max(0, size)
}

// Release gives up what is left. Calling it twice is harmless.
func (c *Claim) Release() {
	c.s.claiming.Lock()
	defer c.s.claiming.Unlock()
	delete(c.s.claims, c)
}

func (c *Claim) bytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left
}

// claimed is how much room is kept for what is being stored.
func (s *Store) claimed() (sum int64) {
	s.claiming.Lock()
	defer s.claiming.Unlock()
	most := map[string]int64{}
	for c := range s.claims {
		n := c.bytes()
		sum += max(0, n-most[c.what])
		most[c.what] = max(n, most[c.what])
	}
	return sum
}

// claimOf is how much room is kept for what is named.
func (s *Store) claimOf(what string) (n int64) {
	s.claiming.Lock()
	defer s.claiming.Unlock()
	for c := range s.claims {
		if c.what == what {
			n = max(n, c.bytes())
		}
	}
	return n
}

// Refused says what a model needs that was to be stored and met a full disk, to be tried again as a
// whole: a SpaceError in any case.
func (s *Store) Refused(size int64) error {
	if err := s.CheckModel(size); err != nil {
		return err
	}
	left, margin, extra, err := s.modelRoom()
	if err != nil {
		return err
	}
	return s.noRoom(size, left, margin, extra)
}
