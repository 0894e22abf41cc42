package host

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// row is the latest advert of a peer.
type row struct {
	advert  *wire.Advert // nil once it has run out; the sequence stays for a while
	raw     []byte
	seq     uint64
	version uint64 // of the table when it came
	expires time.Time
	forget  time.Time // when a copy of any older advert is refused by its date anyway
}

// table keeps the latest advert of each peer: soft state.
type table struct {
	mu      sync.Mutex
	rows    map[ID]*row
	version uint64        // counts adverts taken in
	told    map[ID]uint64 // up to which version each connected peer has been told
}

func newTable() *table { return &table{rows: make(map[ID]*row), told: make(map[ID]uint64)} }

// put takes an advert in and reports whether it is newer than what is there. direct means
// that it comes from its own peer: then one that was dropped counts again. It keeps a and
// raw.
func (t *table) put(a *wire.Advert, raw []byte, direct bool, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.rows[a.Peer]
	if old != nil && (a.Seq < old.seq || a.Seq == old.seq && (old.advert != nil || !direct)) {
		return false
	}
	if old == nil && len(t.rows) >= protocol.MaxAdverts {
		return false // peers that are here stay; the others are heard once some leave
	}
	t.version++
	t.rows[a.Peer] = &row{
		advert: a, raw: raw, seq: a.Seq, version: t.version, expires: now.Add(a.TTL()),
		forget: a.IssuedAt().Add(a.TTL() + 2*protocol.MaxClockSkew),
	}
	return true
}

// sweep drops what has run out and returns the peers whose advert did.
func (t *table) sweep(now time.Time) []ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []ID
	for id, r := range t.rows {
		if r.advert != nil && !now.Before(r.expires) {
			r.advert, r.raw = nil, nil
			out = append(out, id)
		}
		if r.advert == nil && now.After(r.forget) {
			delete(t.rows, id)
		}
	}
	slices.Sort(out)
	return out
}

// drop forgets a peer's advert but not its sequence, and reports whether there was one.
func (t *table) drop(id ID) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.rows[id]
	if r == nil || r.advert == nil {
		return false
	}
	r.advert, r.raw = nil, nil
	return true
}

// dropAll forgets the adverts that which wants, but not their sequences.
func (t *table) dropAll(which func(*wire.Advert) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		if r.advert != nil && which(r.advert) {
			r.advert, r.raw = nil, nil
		}
	}
}

// live returns the adverts that count now, ordered by peer.
func (t *table) live(now time.Time) []*wire.Advert {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*wire.Advert
	for _, r := range t.rows {
		if r.advert != nil && now.Before(r.expires) {
			out = append(out, r.advert)
		}
	}
	slices.SortFunc(out, func(a, b *wire.Advert) int { return strings.Compare(string(a.Peer), string(b.Peer)) })
	return out
}

// of returns the live advert of a peer, nil if there is none.
func (t *table) of(id ID, now time.Time) *wire.Advert {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.rows[id]; r != nil && r.advert != nil && now.Before(r.expires) {
		return r.advert
	}
	return nil
}

// tell returns the live adverts that a peer has not been told of, as they were signed.
func (t *table) tell(to ID, now time.Time) [][]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.told[to]
	t.told[to] = t.version
	return t.signed(now, func(id ID, r *row) bool { return r.version > last && id != to })
}

// untell notes that nothing is known of what a peer has heard: it is new, or gone, or was
// not told to the end.
func (t *table) untell(id ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.told, id)
}

// own returns a peer's live advert as it was signed, if there is one.
func (t *table) own(of ID, now time.Time) [][]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.signed(now, func(id ID, _ *row) bool { return id == of })
}

// signed returns the live adverts that are wanted as they were signed, ordered by peer. The
// caller holds mu.
func (t *table) signed(now time.Time, want func(ID, *row) bool) [][]byte {
	var out [][]byte
	for _, id := range slices.Sorted(maps.Keys(t.rows)) {
		if r := t.rows[id]; r.advert != nil && now.Before(r.expires) && want(id, r) {
			out = append(out, r.raw)
		}
	}
	return out
}

// has reports whether an advert counts, in exactly these bytes.
func (t *table) has(raw []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		if bytes.Equal(r.raw, raw) {
			return true
		}
	}
	return false
}
