package store

import (
	"fmt"
	"sort"
	"sync"
	"time"

	cid "github.com/ipfs/go-cid"
)

// maxName bounds a name in bytes.
const maxName = 256

// Pinned is a block that GC keeps with everything it reaches.
type Pinned struct {
	CID cid.Cid   `json:"cid"`
	At  time.Time `json:"at"`
}

// Pin keeps a block and all that it reaches, now and whenever it is put, from GC. What was
// put before is synced to disk first. Pin waits for a running GC.
func (s *Store) Pin(c cid.Cid) error {
	if _, err := digestOf(c); err != nil {
		return fmt.Errorf("pin: %w", err)
	}
	if err := s.Sync(); err != nil {
		return err
	}
	s.gcing.Lock()
	defer s.gcing.Unlock()
	return s.updateRoots("pin", c, func(r *roots) error {
		if _, known := r.Pins[c.String()]; !known {
			r.Pins[c.String()] = s.cfg.Now().Unix()
		}
		return nil
	})
}

// Unpin ends a Pin; the blocks stay until GC. Without a pin it does nothing. It waits for
// a running GC.
func (s *Store) Unpin(c cid.Cid) error {
	s.gcing.Lock()
	defer s.gcing.Unlock()
	return s.updateRoots("unpin", c, func(r *roots) error {
		delete(r.Pins, c.String())
		return nil
	})
}

func (s *Store) updateRoots(verb string, c cid.Cid, change func(*roots) error) error {
	if err := s.roots.update(change); err != nil {
		return fmt.Errorf("%s %s: %w", verb, c, err)
	}
	return nil
}

// Pins lists the pins by identifier.
func (s *Store) Pins() []Pinned {
	var out []Pinned
	for text, at := range s.roots.get().Pins {
		if c, err := cid.Decode(text); err == nil {
			out = append(out, Pinned{CID: c, At: time.Unix(at, 0).UTC()})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].CID.KeyString() < out[j].CID.KeyString() })
	return out
}

// Pinned reports whether a block is pinned itself.
func (s *Store) Pinned(c cid.Cid) bool {
	_, ok := s.roots.get().Pins[c.String()]
	return ok
}

// SetName lets a name stand for an identifier; cid.Undef removes it. Names survive the
// loss of the database, and protect nothing from GC.
func (s *Store) SetName(name string, c cid.Cid) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("set name: %d bytes, 1 to %d", len(name), maxName)
	}
	return s.updateRoots("set name of", c, func(r *roots) error {
		if !c.Defined() {
			delete(r.Names, name)
			return nil
		}
		if _, err := digestOf(c); err != nil {
			return err
		}
		r.Names[name] = c.String()
		return nil
	})
}

// Names returns all names and what they stand for.
func (s *Store) Names() map[string]cid.Cid {
	out := map[string]cid.Cid{}
	for name, text := range s.roots.get().Names {
		if c, err := cid.Decode(text); err == nil {
			out[name] = c
		}
	}
	return out
}

// Name returns what a name stands for.
func (s *Store) Name(name string) (cid.Cid, bool) {
	c, err := cid.Decode(s.roots.get().Names[name])
	return c, err == nil
}

// PinsLost reports whether both copies of the pins were found damaged: GC refuses to run
// until AcceptLostPins.
func (s *Store) PinsLost() bool { return s.roots.get().Lost }

// AcceptLostPins lets GC run again with the pins that there are now.
func (s *Store) AcceptLostPins() error {
	return s.roots.update(func(r *roots) error {
		r.Lost = false
		return nil
	})
}

// Hold protects blocks from GC while they belong to no pin yet, as in an import. Make it
// with Store.Hold and end it with Release. It is safe for concurrent use.
type Hold struct {
	s *Store

	mu   sync.Mutex
	keys map[digest]struct{} // nil after Release
}

// Hold returns a hold that protects nothing yet.
func (s *Store) Hold() *Hold { return &Hold{s: s, keys: map[digest]struct{}{}} }

// Add protects blocks, whether they are there yet or not. What Has says afterwards holds
// until Release, damage aside.
func (h *Hold) Add(cids ...cid.Cid) error {
	h.s.sweep.RLock() // not between a GC's look at the holds and its deletion
	defer h.s.sweep.RUnlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range cids {
		d, err := digestOf(c)
		if err != nil {
			return fmt.Errorf("hold: %w", err)
		}
		if _, known := h.keys[d]; known || h.keys == nil {
			continue
		}
		h.keys[d] = struct{}{}
		h.s.mu.Lock()
		h.s.held[d]++
		h.s.mu.Unlock()
	}
	return nil
}

// Release ends the protection. Calling it twice is harmless.
func (h *Hold) Release() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.s.mu.Lock()
	defer h.s.mu.Unlock()
	for d := range h.keys {
		if h.s.held[d]--; h.s.held[d] <= 0 {
			delete(h.s.held, d)
		}
	}
	h.keys = nil
}
