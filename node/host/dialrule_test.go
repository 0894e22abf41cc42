package host

import (
	"testing"
	"time"

	"github.com/covey-network/covey/protocol/wire"
)

// TestNextDial has something happen to a peer that was dialled in vain, or has parted, and looks between
// when its next dial is due.
func TestNextDial(t *testing.T) {
	t.Parallel()
	const backoff, addr = 10 * time.Second, wire.Addr("/ip4/8.8.8.8/tcp/1")
	self, id, now := foundSwarm(t, t.TempDir()).ID, foundSwarm(t, t.TempDir()).ID, time.Now()
	failed := func(b *book) { b.failed(id, ReasonRefused, true, now) }
	parted := func(b *book) { b.part(id, now) }
	later := func(d time.Duration) [2]time.Duration { return [2]time.Duration{d / 2, d} }
	aside := [2]time.Duration{partFor / 2, partFor / 2 * 3}
	atOnce := [2]time.Duration{}
	for _, c := range []struct {
		name          string
		before, event func(*book)
		want          [2]time.Duration
	}{
		{"a dial in vain", failed, func(*book) {}, later(backoff)},
		{"another", failed, failed, later(2 * backoff)},
		{"many, of a peer that is alive", failed, func(b *book) {
			for range 20 {
				failed(b)
			}
		}, later(aliveBackoff)},
		{"the address that is known", failed, func(b *book) { b.add(id, []wire.Addr{addr}, false) }, later(backoff)},
		{"a new address", failed, func(b *book) { b.add(id, []wire.Addr{addr + "1"}, false) }, atOnce},
		{"a new address of one that has parted", parted, func(b *book) { b.add(id, []wire.Addr{addr + "1"}, false) }, atOnce},
		{"heard", failed, func(b *book) { b.heard(id, nil) }, atOnce},
		{"heard after parting", parted, func(b *book) { b.heard(id, nil) }, aside},
		{"this machine has moved", failed, (*book).retry, atOnce},
		{"this machine has moved after parting", parted, (*book).retry, aside},
		{"met", failed, func(b *book) { b.verified(id, nil, now) }, atOnce},
		{"needed", failed, func(b *book) { b.hasten(id, backoff/5, now) }, later(backoff / 5)},
		{"needed later than it is due", failed, func(b *book) { b.hasten(id, time.Minute, now) }, later(backoff)},
		{"needed after parting", parted, func(b *book) { b.hasten("", backoff/5, now) }, aside},
		{"dialled by others, too", failed, func(b *book) { b.share(id, time.Hour, now) }, later(sharedBackoff)},
		{"again", failed, func(b *book) {
			failed(b)
			b.share(id, time.Hour, now)
		}, later(2 * sharedBackoff)},
		{"often", failed, func(b *book) {
			for range 20 {
				failed(b)
			}
			b.share(id, time.Hour, now)
		}, later(time.Hour)},
		{"dialled by others, who leave", failed, func(b *book) {
			b.share(id, time.Hour, now)
			b.hasten("", backoff/5, now)
		}, later(backoff / 5)},
		{"revived", failed, func(b *book) { b.revive("", now) }, [2]time.Duration{0, heardSpread}},
		{"revived when it has parted", parted, func(b *book) { b.revive("", now) }, aside},
		{"alone", failed, (*book).unpart, later(backoff)},
		{"alone after parting", parted, (*book).unpart, atOnce},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for range 50 {
				b := newBook(self, backoff)
				b.add(id, []wire.Addr{addr}, false)
				b.verified(id, nil, now)
				c.before(b)
				c.event(b)
				due := func(after time.Duration) bool { return len(b.due(now.Add(after), byID)) == 1 }
				if c.want != atOnce && due(c.want[0]-1) || !due(c.want[1]) {
					t.Fatalf("not due between %v and %v", c.want[0], c.want[1])
				}
			}
		})
	}
}
