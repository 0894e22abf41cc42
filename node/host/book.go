package host

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// maxBook bounds the peers remembered: enough to find a swarm again.
	maxBook = 1024
	// maxUnmet bounds those among them of which others only told: they never push out a peer
	// that was met.
	maxUnmet = 512
	// rttSamples is how many round trips the smallest is taken of: single ones are late by
	// whatever else the machines do, the smallest is the network's.
	rttSamples = 5
	// forgetAfter is how long a peer that does not answer is remembered.
	forgetAfter = 14 * 24 * time.Hour
	// forgetFailing is how long dials must have been in vain before: this machine may be without a network just now.
	forgetFailing = 24 * time.Hour
	bookVersion   = 1
)

// known is what the book has on a peer.
type known struct {
	addrs    []wire.Addr
	written  []wire.Addr // those in the peers file
	seen     time.Time   // when it was last a verified peer; zero if never
	sticky   bool        // a bootstrap peer: never forgotten
	dialing  int         // dials under way: a second one brings a new address to the first
	fresh    bool        // it has one since the last began
	near     bool        // it was heard on the local network since then
	failures int
	name     string        // of the machine, for people, as its adverts tell
	failure  string        // why the last dial was in vain; "" if it was not, or there was none
	failing  time.Time     // since when dials have been in vain
	apart    time.Duration // how far its clock is ahead of this one's, if failure is for that
	next     time.Time     // no dial before
	parted   time.Time     // when it or this peer ended the connection as surplus; zero: not since it was dialled
	rtts     [rttSamples]time.Duration
	rttCount int
}

// book remembers peers over restarts, when to dial them, and their round trips.
type book struct {
	news chan struct{} // wakes the dial loop; size 1, as one look sees all

	mu      sync.Mutex
	peers   map[ID]*known
	rng     *rand.Rand // jitter of backoffs
	backoff time.Duration
	dirty   bool
}

func newBook(self ID, backoff time.Duration) *book {
	k := self.PublicKey()
	return &book{
		news: make(chan struct{}, 1), peers: make(map[ID]*known), backoff: backoff,
		rng: rand.New(rand.NewPCG(binary.LittleEndian.Uint64(k), binary.LittleEndian.Uint64(k[8:]))),
	}
}

// add notes where a peer may be. Nothing is known yet of whether it is a member.
func (b *book) add(id ID, addrs []wire.Addr, sticky bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.peers[id]
	if k == nil {
		if b.full() && !b.evict() {
			return
		}
		k = new(known)
		b.peers[id] = k
	}
	k.sticky = k.sticky || sticky
	for _, a := range addrs {
		a = withoutPeer(a)
		if i := slices.Index(k.addrs, a); i >= 0 { // the latest news first
			k.addrs = slices.Delete(k.addrs, i, i+1)
		} else {
			b.applyTo(k, onAddress, time.Time{})
			wake(b.news)
		}
		k.addrs = slices.Insert(k.addrs, 0, a)
	}
	k.addrs = k.addrs[:min(len(k.addrs), protocol.MaxAddrs)]
}

// heard notes where a peer is on the local network. It is there now, so that it is dialled at
// once, unless the two have parted.
func (b *book) heard(id ID, addrs []wire.Addr) {
	b.add(id, addrs, false)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.apply(onHeard, id, time.Time{}) {
		wake(b.news)
	}
}

// retry makes those due that were dialled in vain: this machine is elsewhere now.
func (b *book) retry() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.apply(onMove, "", time.Time{})
	wake(b.news)
}

// full reports whether there are too many peers, or too many that were never met: those
// anybody can make up.
func (b *book) full() bool {
	unmet := 0
	for _, k := range b.peers {
		if k.seen.IsZero() && !k.sticky {
			unmet++
		}
	}
	return len(b.peers) >= maxBook || unmet >= maxUnmet
}

// evict makes room: a peer that was never met goes, else the one longest not seen.
func (b *book) evict() bool {
	var oldest ID
	for id, k := range b.peers {
		if !k.sticky && (oldest == "" || k.seen.Before(b.peers[oldest].seen)) {
			oldest = id
		}
	}
	delete(b.peers, oldest)
	return oldest != ""
}

// has reports whether the book has a peer.
func (b *book) has(id ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.peers[id] != nil
}

// size returns how many peers the book has.
func (b *book) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.peers)
}

// underWay returns how many peers are being dialled.
func (b *book) underWay() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.peers {
		if k.dialing > 0 {
			n++
		}
	}
	return n
}

// met reports whether a peer was ever verified.
func (b *book) met(id ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.peers[id]
	return k != nil && !k.seen.IsZero()
}

// remove forgets a peer that is no longer a member: it is its turn to come with a new
// grant. A bootstrap peer stays.
func (b *book) remove(id ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.peers[id]; k != nil && !k.sticky {
		delete(b.peers, id)
		b.dirty = true
	}
}

func withoutPeer(a wire.Addr) wire.Addr {
	if i := strings.LastIndex(string(a), "/p2p/"); i > 0 && !strings.Contains(string(a), "/p2p-circuit") {
		return a[:i]
	}
	return a
}

// verified notes that a peer is a member and where it was found.
func (b *book) verified(id ID, addrs []wire.Addr, now time.Time) {
	b.add(id, addrs, false)
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.peers[id]; k != nil {
		b.applyTo(k, onMeeting, now)
		b.dirty = true
	}
}

// called notes a peer's name.
func (b *book) called(id ID, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.peers[id]; k != nil && name != "" && name != k.name {
		k.name, b.dirty = name, true
	}
}

// name returns the name that a peer told last, "" if none.
func (b *book) name(id ID) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.peers[id]; k != nil {
		return k.name
	}
	return ""
}

// failed notes why a dial was in vain, if it was not cut short, and puts off the next one,
// twice as long as the last time. Of a peer that is alive others hear.
func (b *book) failed(id ID, why string, alive bool, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.peers[id]
	if k == nil {
		return
	}
	most := MaxBackoff
	if alive {
		most = aliveBackoff
	}
	b.applyTo(k, onFailure(b.backoff, most, why), now)
	if !k.sticky && !alive && k.failures > 3 && now.Sub(k.seen) > forgetAfter && now.Sub(k.failing) > forgetFailing {
		delete(b.peers, id)
	}
	wake(b.news) // it may be due before the next look
}

// untilDue returns the time until the next dial of a peer that was dialled in vain, at most most.
func (b *book) untilDue(now time.Time, most time.Duration) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.peers {
		if k.failure != "" && now.Before(k.next) {
			most = min(most, k.next.Sub(now))
		}
	}
	return most
}

// clocks notes how far the clock of a peer is ahead of this one's, which is why the last dial was in
// vain; 0: it is not.
func (b *book) clocks(id ID, ahead time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.peers[id]; k != nil {
		k.apart = ahead
	}
}

// share puts off the next dial of a peer that others dial as well, at most for a time, see onShare.
func (b *book) share(id ID, most time.Duration, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.apply(onShare(most), id, now)
}

// hasten makes the next dial of a peer due within a time if others may be found through it, see onNeed; of
// all such peers if none is given.
func (b *book) hasten(id ID, within time.Duration, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.apply(onNeed(within), id, now)
}

// revive makes a dial of a peer due that was dialled in vain, as it shows that it is there; of all
// if none is given, as this peer is back.
func (b *book) revive(id ID, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.apply(onRevival, id, now)
}

// part notes that the connection to a peer ends as it is surplus: nobody is dead, and no dial is
// due for some time.
func (b *book) part(id ID, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.apply(onParting, id, now)
}

// hasParted reports whether a peer's last connection ended as surplus, a moment ago.
func (b *book) hasParted(id ID, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.peers[id]
	return k != nil && now.Sub(k.parted) < lostTimeout
}

// unpart makes those due that have parted: there is nobody else left.
func (b *book) unpart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.apply(onSolitude, "", time.Time{})
}

// begin notes that a peer is being dialled; false means that it is already at the addresses that
// it has, or unknown.
func (b *book) begin(id ID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.peers[id]
	if k == nil || k.dialing > 1 || k.dialing == 1 && !k.fresh {
		return false
	}
	k.dialing, k.fresh, k.near = k.dialing+1, false, false
	return true
}

// end takes begin back.
func (b *book) end(id ID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.peers[id]; k != nil && k.dialing > 0 { // it may have been forgotten meanwhile
		k.dialing--
	}
}

// target is a peer that is due for a dial.
type target struct {
	id       ID
	addrs    []wire.Addr
	sticky   bool
	met      bool
	near     bool
	failures int
}

// due returns the peers that may be dialled now: bootstrap peers first, then those that were
// met, those first that were dialled in vain the least, each in a given order.
func (b *book) due(now time.Time, order func(a, b ID) int) []target {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []target
	for id, k := range b.peers {
		if len(k.addrs) > 0 && !now.Before(k.next) {
			out = append(out, target{id, slices.Clone(k.addrs), k.sticky, !k.seen.IsZero(), k.near, k.failures})
		}
	}
	rank := func(t target) int {
		switch {
		case t.sticky:
			return 0
		case t.met:
			return 1
		}
		return 2
	}
	slices.SortFunc(out, func(x, y target) int {
		return cmp.Or(cmp.Compare(rank(x), rank(y)), cmp.Compare(x.failures, y.failures), order(x.id, y.id))
	})
	return out
}

// addrs returns where a peer may be.
func (b *book) addrs(id ID) []wire.Addr {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.peers[id]; k != nil {
		return slices.Clone(k.addrs)
	}
	return nil
}

// measured notes a round trip.
func (b *book) measured(id ID, rtt time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if k := b.peers[id]; k != nil && rtt > 0 {
		k.rtts[k.rttCount%rttSamples] = rtt
		k.rttCount++
	}
}

// rtt returns the smallest of the last round trips.
func (b *book) rtt(id ID) (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.peers[id]
	if k == nil || k.rttCount == 0 {
		return 0, false
	}
	return slices.Min(k.rtts[:min(k.rttCount, rttSamples)]), true
}

// usual returns the median of the last round trips, 0 if there are few.
func (b *book) usual(id ID) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.peers[id]
	if k == nil {
		return 0
	}
	return slices.Sorted(slices.Values(k.rtts[:]))[rttSamples/2]
}

// savedBook is the peers file.
type savedBook struct {
	Version int         `json:"version"`
	Peers   []savedPeer `json:"peers"`
}

type savedPeer struct {
	ID    ID          `json:"id"`
	Name  string      `json:"name,omitempty"`
	Addrs []wire.Addr `json:"addrs"`
	Seen  time.Time   `json:"seen"`
}

// load reads the peers file. No file is an empty book.
func (b *book) load(path string) error {
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var s savedBook
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("read %q: %w", path, err)
	}
	if s.Version != bookVersion {
		return fmt.Errorf("read %q: version %d, want %d", path, s.Version, bookVersion)
	}
	for _, p := range s.Peers {
		if p.ID.Validate() != nil {
			continue
		}
		good := slices.DeleteFunc(p.Addrs, func(a wire.Addr) bool { return a.Validate() != nil })
		b.add(p.ID, good, false)
		b.mu.Lock()
		if k := b.peers[p.ID]; k != nil {
			k.seen, k.name, k.written = p.Seen, p.Name, good
		}
		b.mu.Unlock()
	}
	return nil
}

// unwritten reports whether the peers file lacks one of a peer's addresses.
func (b *book) unwritten(id ID, addrs []wire.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	k := b.peers[id]
	return k != nil && slices.ContainsFunc(addrs, func(a wire.Addr) bool { return !slices.Contains(k.written, withoutPeer(a)) })
}

// save writes the verified peers to the peers file if something changed.
func (b *book) save(path string) error {
	b.mu.Lock()
	if !b.dirty {
		b.mu.Unlock()
		return nil
	}
	b.dirty = false
	s := savedBook{Version: bookVersion}
	for id, k := range b.peers {
		if !k.seen.IsZero() && len(k.addrs) > 0 {
			s.Peers = append(s.Peers, savedPeer{id, k.name, slices.Clone(k.addrs), k.seen.UTC()})
		}
	}
	b.mu.Unlock()
	slices.SortFunc(s.Peers, func(x, y savedPeer) int { return strings.Compare(string(x.ID), string(y.ID)) })
	data, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = writeFile(path, append(data, '\n'))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.dirty = true
		return err
	}
	for _, p := range s.Peers {
		if k := b.peers[p.ID]; k != nil {
			k.written = p.Addrs
		}
	}
	return nil
}
