package host

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// shortSum tells an advert apart in a swap. Two that agree in it are not both handed over; the
// next advert of either is another one.
type shortSum [protocol.AdvertSum]byte

func (s sum) short() shortSum { return shortSum(s[:protocol.AdvertSum]) }

// swap hands a peer the adverts that it lacks and asks for those that this one lacks.
func (r *running) swap(id ID) error {
	m := r.gate.get(id)
	if m == nil || m.hello.Capability < protocol.SwapCapability {
		return r.swapAdverts(id)
	}
	ctx, cancel := context.WithTimeout(r.ctx, protocol.StreamOpenTimeout)
	defer cancel()
	s, err := r.open(ctx, id, protocol.Swap)
	if err != nil {
		return err
	}
	fr := frame.NewReader(s, wire.SwapLimits())
	var has map[shortSum]bool
	err = errors.Join(s.SetDeadline(time.Now().Add(swapTimeout)), writeSums(s, r.table.shortSums(r.now())))
	if err == nil {
		has, err = readSums(fr)
	}
	if err == nil {
		err = r.readAdverts(s, fr)
	}
	if err == nil {
		err = errors.Join(writeAdverts(s, r.table.except(id, has, r.now())), s.CloseWrite())
	}
	if err != nil {
		return errors.Join(err, s.Reset())
	}
	return s.Close()
}

// handleSwap is the other side of swap.
func (r *running) handleSwap(_ context.Context, s Stream) {
	id, fr := s.Peer(), frame.NewReader(s, wire.SwapLimits())
	var has map[shortSum]bool
	err := s.SetDeadline(time.Now().Add(swapTimeout))
	if err == nil {
		has, err = readSums(fr)
	}
	if err == nil {
		err = errors.Join(writeSums(s, r.table.shortSums(r.now())), writeAdverts(s, r.table.except(id, has, r.now())), s.CloseWrite())
	}
	if err == nil {
		err = r.readAdverts(s, fr)
	}
	if err != nil {
		_ = s.Reset()
		return
	}
	_ = s.Close()
}

func writeSums(s Stream, sums []shortSum) error {
	var data []byte
	for _, sum := range sums[:min(len(sums), protocol.MaxAdverts)] {
		data = append(data, sum[:]...)
	}
	w := frame.NewWriter(s)
	return errors.Join(w.Write(wire.TypeAdvertSums, data), w.Flush())
}

func readSums(fr *frame.Reader) (map[shortSum]bool, error) {
	typ, data, err := fr.Next()
	if err != nil {
		return nil, err
	}
	if typ != wire.TypeAdvertSums || len(data)%protocol.AdvertSum != 0 {
		return nil, fmt.Errorf("frame of type %d with %d bytes where sums of adverts belong", typ, len(data))
	}
	out := make(map[shortSum]bool, len(data)/protocol.AdvertSum)
	for ; len(data) > 0; data = data[protocol.AdvertSum:] {
		out[shortSum(data)] = true
	}
	return out, nil
}
