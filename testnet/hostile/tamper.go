package hostile

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// change decides what goes out instead of a frame: other bytes, or the frame itself if it
// returns nil. With errHang nothing follows after those bytes, for as long as the peer lives;
// with errBreak the stream is reset.
type change func(t *tamper, f frame.Type, payload []byte) ([]byte, error)

var (
	errHang  = errors.New("nothing more is sent")
	errBreak = errors.New("the stream is reset")
)

// tamper is a stream whose outgoing frames are changed.
type tamper struct {
	host.Stream
	p       *Peer
	change  change
	out     []byte // written by the worker, and no whole frame yet
	results int    // of the session, so far
}

// Write takes what the honest worker sends.
func (t *tamper) Write(b []byte) (int, error) {
	t.out = append(t.out, b...)
	for {
		n, size := binary.Uvarint(t.out)
		if size <= 0 || uint64(len(t.out)-size) < n {
			return len(b), nil
		}
		whole := t.out[:size+int(n)]
		raw, err := t.change(t, frame.Type(whole[size]), whole[size+1:])
		if raw == nil && err == nil {
			raw = whole
		} else {
			t.p.harm.Add(1)
		}
		if errors.Is(err, errBreak) {
			return 0, errors.Join(err, t.Reset())
		}
		if _, err := t.Stream.Write(raw); err != nil {
			return 0, err
		}
		if err != nil {
			<-t.p.life.Done()
			return 0, err
		}
		t.out = t.out[:copy(t.out, t.out[len(whole):])]
	}
}

// due counts a result and reports whether it is time to do harm.
func (t *tamper) due() bool {
	t.results++
	return t.results > t.p.cfg.Claim.After
}

// frameOf returns a frame as it stands on a stream.
func frameOf(t frame.Type, parts ...[]byte) ([]byte, error) {
	var b bytes.Buffer
	w := frame.NewWriter(&b)
	err := errors.Join(w.Write(t, parts...), w.Flush())
	return b.Bytes(), err
}

// messageFrame returns the frame of a message.
func messageFrame(t frame.Type, m wire.Message) ([]byte, error) {
	b, err := wire.Encode(m)
	if err != nil {
		return nil, err
	}
	return frameOf(t, b)
}
