package host

import (
	"cmp"
	"crypto/sha256"
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
	grant   string       // the invitation that the peer came with
	size    size         // of the advert; zero if it has run out
	raw     []byte
	sum     sum // of raw; zero without
	seq     uint64
	version uint64 // of the table when it came
	expires time.Time
	forget  time.Time // when a copy of any older advert is refused by its date anyway
}

// size is what adverts take.
type size struct{ rows, bytes, models int }

func (s size) plus(o size) size { return size{s.rows + o.rows, s.bytes + o.bytes, s.models + o.models} }
func (s size) less(o size) size { return size{s.rows - o.rows, s.bytes - o.bytes, s.models - o.models} }

// over reports whether s is more than a limit in any way.
func (s size) over(limit size) bool {
	return s.rows > limit.rows || s.bytes > limit.bytes || s.models > limit.models
}

// The limits of all adverts, and of those of peers that came with one invitation. Models are
// only counted for each invitation.
var (
	tableLimit = size{protocol.MaxAdverts, protocol.MaxAdvertBytes, protocol.MaxAdverts * protocol.MaxAdvertModels}
	grantLimit = size{protocol.MaxGrantAdverts, protocol.MaxGrantAdvertBytes, protocol.MaxGrantModels}
)

// table keeps the latest advert of each peer: soft state.
type table struct {
	worth func(ID) int // of a peer: 0 was never met, 1 was once connected, 2 is

	mu      sync.Mutex
	rows    map[ID]*row
	all     size            // of rows
	grants  map[string]size // of rows by invitation
	version uint64          // counts adverts taken in
	told    map[ID]uint64   // up to which version each connected peer has been told
	sums    map[sum]bool    // of raws
}

// sum is the SHA-256 of a raw advert.
type sum [sha256.Size]byte

func newTable(worth func(ID) int) *table {
	return &table{worth: worth, rows: make(map[ID]*row), grants: make(map[string]size), told: make(map[ID]uint64), sums: make(map[sum]bool)}
}

// supersedes reports whether what is known of a peer, if anything is, is as new as an advert.
func (r *row) supersedes(a *wire.Advert, direct bool) bool {
	return r != nil && (a.Seq < r.seq || a.Seq == r.seq && (r.advert != nil || !direct))
}

// wants reports whether put may take an advert of which only the head is known, and what it
// takes. False is for sure.
func (t *table) wants(head *wire.Advert, grant string, takes size, direct bool) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.rows[head.Peer]
	if old.supersedes(head, direct) {
		return false
	}
	if t.worth(head.Peer) > 0 {
		return true // others may have to go for it
	}
	all, ofGrant := t.all.plus(takes), t.grants[grant].plus(takes)
	if old != nil {
		all = all.less(old.size)
		if old.grant == grant {
			ofGrant = ofGrant.less(old.size)
		}
	}
	return !all.over(tableLimit) && !ofGrant.over(grantLimit)
}

// put takes an advert in, of a peer that came with a grant, and reports whether it is newer
// than what is there and has room. direct means that it comes from its own peer: then one
// that was dropped counts again. It keeps a and raw.
func (t *table) put(a *wire.Advert, grant string, raw []byte, direct bool, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.rows[a.Peer]
	if old.supersedes(a, direct) {
		return false
	}
	next := &row{
		advert: a, grant: grant, size: size{1, len(raw), len(a.Models)}, raw: raw, sum: sha256.Sum256(raw), seq: a.Seq, expires: now.Add(a.TTL()),
		forget: a.IssuedAt().Add(a.TTL() + 2*protocol.MaxClockSkew),
	}
	if old != nil {
		t.count(old, -1)
	}
	if !t.makeRoom(next) {
		if old != nil {
			t.count(old, 1)
		}
		return false
	}
	t.version++
	next.version = t.version
	t.rows[a.Peer] = next
	t.count(next, 1)
	return true
}

// count adds a row to the sums, or takes it out.
func (t *table) count(r *row, sign int) {
	if r.raw != nil && sign < 0 {
		delete(t.sums, r.sum)
	} else if r.raw != nil {
		t.sums[r.sum] = true
	}
	add := func(to size) size {
		if sign < 0 {
			return to.less(r.size)
		}
		return to.plus(r.size)
	}
	t.all = add(t.all)
	if s := add(t.grants[r.grant]); s != (size{}) {
		t.grants[r.grant] = s
	} else {
		delete(t.grants, r.grant)
	}
}

// makeRoom lets go what the limits do not allow beside next, and reports whether next has
// room then. Who makes it too much pays: first the invitation of next, if it has too much,
// then those that have most.
func (t *table) makeRoom(next *row) bool {
	tooMuch := func() bool { return t.grants[next.grant].plus(next.size).over(grantLimit) }
	t.evict(next, next.grant, tooMuch)
	if tooMuch() {
		return false
	}
	full := func() bool {
		return t.all.plus(next.size).over(tableLimit) || len(t.rows) >= 2*protocol.MaxAdverts // some of them sequences only
	}
	if !full() {
		return true
	}
	for _, g := range slices.SortedFunc(maps.Keys(t.grants), func(a, b string) int { return cmp.Compare(t.grants[b].bytes, t.grants[a].bytes) }) {
		t.evict(next, g, full)
	}
	return !full()
}

// evict drops adverts of an invitation until it is no longer too much: those of peers that
// are worth less than that of next, the oldest first.
func (t *table) evict(next *row, grant string, tooMuch func() bool) {
	peer := next.advert.Peer
	worth := t.worth(peer)
	if worth == 0 || !tooMuch() {
		return // nobody has to go for a peer that may not exist
	}
	type victim struct {
		*row
		worth int
	}
	var victims []victim
	for id, r := range t.rows {
		if id == peer || r.grant != grant || r.advert == nil {
			continue
		}
		if w := t.worth(id); w < worth {
			victims = append(victims, victim{r, w})
		}
	}
	slices.SortFunc(victims, func(a, b victim) int { return cmp.Or(cmp.Compare(a.worth, b.worth), cmp.Compare(a.version, b.version)) })
	for _, v := range victims {
		if !tooMuch() {
			return
		}
		delete(t.rows, v.advert.Peer)
		t.count(v.row, -1)
	}
}

// clear drops the advert of a row but not its sequence.
func (t *table) clear(r *row) {
	t.count(r, -1)
	r.advert, r.raw, r.size = nil, nil, size{}
}

// sweep drops what has run out and returns the peers whose advert did.
func (t *table) sweep(now time.Time) []ID {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []ID
	for id, r := range t.rows {
		if r.advert != nil && !now.Before(r.expires) {
			t.clear(r)
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
	t.clear(r)
	return true
}

// dropAll forgets the adverts that which wants, but not their sequences.
func (t *table) dropAll(which func(*wire.Advert) bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		if r.advert != nil && which(r.advert) {
			t.clear(r)
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

// grantOf returns the invitation that a peer came with, "" if its advert is not known.
func (t *table) grantOf(id ID) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.rows[id]; r != nil {
		return r.grant
	}
	return ""
}

// knowsGrant reports whether a peer whose advert is known came with an invitation.
func (t *table) knowsGrant(invitation string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range t.rows {
		if r.grant == invitation {
			return true
		}
	}
	return false
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

// except returns the live adverts of others than a peer as they were signed, without those of
// some sums.
func (t *table) except(id ID, has map[shortSum]bool, now time.Time) [][]byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.signed(now, func(of ID, r *row) bool { return of != id && !has[r.sum.short()] })
}

// shortSums returns those of all live adverts.
func (t *table) shortSums(now time.Time) []shortSum {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []shortSum
	t.signed(now, func(_ ID, r *row) bool { out = append(out, r.sum.short()); return false })
	return out
}

// seq returns the sequence of a peer's last advert, 0 if none is known.
func (t *table) seq(id ID) uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.rows[id]; r != nil {
		return r.seq
	}
	return 0
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
	at := sha256.Sum256(raw)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sums[at]
}
