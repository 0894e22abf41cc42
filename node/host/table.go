package host

import (
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
	expires time.Time
	forget  time.Time // when a copy of any older advert is refused by its date anyway
}

// table keeps the latest advert of each peer: soft state.
type table struct {
	mu   sync.Mutex
	rows map[ID]*row
}

func newTable() *table { return &table{rows: make(map[ID]*row)} }

// put takes an advert in and reports whether it is newer than what is there. It keeps
// both arguments.
func (t *table) put(a *wire.Advert, raw []byte, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.rows[a.Peer]
	if old != nil && a.Seq <= old.seq {
		return false
	}
	if old == nil && len(t.rows) >= protocol.MaxAdverts {
		return false // peers that are here stay; the others are heard once some leave
	}
	t.rows[a.Peer] = &row{
		advert: a, raw: raw, seq: a.Seq, expires: now.Add(a.TTL()),
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

// drop forgets a peer's advert but not its sequence.
func (t *table) drop(id ID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.rows[id]; r != nil {
		r.advert, r.raw = nil, nil
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

// raws returns the live adverts as they were signed, ordered by peer.
func (t *table) raws(now time.Time) [][]byte {
	live := t.live(now)
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([][]byte, 0, len(live))
	for _, a := range live {
		if r := t.rows[a.Peer]; r != nil && r.raw != nil {
			out = append(out, r.raw)
		}
	}
	return out
}

// own returns a peer's live advert as it was signed, if there is one.
func (t *table) own(id ID, now time.Time) [][]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.rows[id]; r != nil && r.raw != nil && now.Before(r.expires) {
		return [][]byte{r.raw}
	}
	return nil
}
