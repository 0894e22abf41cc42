package wire

import (
	"crypto/ed25519"
	"errors"
	"math"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/protocol"
)

// Space is memory or disk in bytes: what the machine has, what the owner lends, what is free of it.
type Space struct {
	Total uint64 `cbor:"1,keyasint" json:"total"`
	Lent  uint64 `cbor:"2,keyasint" json:"lent"`
	Free  uint64 `cbor:"3,keyasint" json:"free"`
}

// Speeds are measured on the machine, once per engine version; 0 is not measured.
type Speeds struct {
	MemBytesPerSec uint64 `cbor:"1,keyasint,omitempty" json:"mem_bytes_per_sec"`
	DotOpsPerSec   uint64 `cbor:"2,keyasint,omitempty" json:"dot_ops_per_sec"`
	Engine         string `cbor:"3,keyasint,omitempty" json:"engine"` // version and instruction set
}

// Limits are the owner's; 0 is no limit.
type Limits struct {
	UploadBytesPerSec uint64 `cbor:"1,keyasint,omitempty" json:"upload_bytes_per_sec"`
	Sessions          uint32 `cbor:"2,keyasint,omitempty" json:"sessions"`
}

// Served is a stage that is loaded and answers.
type Served struct {
	Range        Range  `cbor:"1,keyasint" json:"range"`
	StepNs       uint64 `cbor:"2,keyasint" json:"step_ns"`              // one decode step through one block, measured
	PrefillNs    uint64 `cbor:"3,keyasint,omitempty" json:"prefill_ns"` // one prompt token through one block, measured
	FreeSessions uint32 `cbor:"4,keyasint,omitempty" json:"free_sessions"`
	FreeTokens   uint64 `cbor:"5,keyasint,omitempty" json:"free_tokens"` // positions of cache not reserved
	Queue        uint32 `cbor:"6,keyasint,omitempty" json:"queue"`       // steps waiting
}

// ModelAdvert is what a peer has of a model.
type ModelAdvert struct {
	Model  cid.Cid  `cbor:"1,keyasint" json:"model"`                    // the manifest
	Name   string   `cbor:"2,keyasint,omitempty" json:"name,omitempty"` // for people; names prove nothing
	Held   []Range  `cbor:"3,keyasint,omitempty" json:"held"`           // complete on disk
	Served []Served `cbor:"4,keyasint,omitempty" json:"served"`
}

// PeerRTT is a measured round trip.
type PeerRTT struct {
	Peer    PeerID `cbor:"1,keyasint" json:"peer"`
	Micros  uint32 `cbor:"2,keyasint" json:"micros"`
	Relayed bool   `cbor:"3,keyasint,omitempty" json:"relayed,omitempty"` // through a third peer
}

// Advert is a peer's capacity: soft state, replaced by the next one with a higher Seq and
// forgotten TTL after it arrived.
type Advert struct {
	Swarm      SwarmID       `cbor:"1,keyasint" json:"swarm"`
	Peer       PeerID        `cbor:"2,keyasint" json:"peer"`
	Seq        uint64        `cbor:"3,keyasint" json:"seq"`    // grows over restarts: start with the clock
	Issued     int64         `cbor:"4,keyasint" json:"issued"` // Unix milliseconds
	TTLSec     uint32        `cbor:"5,keyasint" json:"ttl_sec"`
	Capability uint32        `cbor:"6,keyasint" json:"capability"`
	Version    string        `cbor:"7,keyasint" json:"version"`
	Cores      uint32        `cbor:"8,keyasint" json:"cores"` // lent
	Speeds     Speeds        `cbor:"9,keyasint" json:"speeds"`
	Memory     Space         `cbor:"10,keyasint" json:"memory"`
	Disk       Space         `cbor:"11,keyasint" json:"disk"`
	Limits     Limits        `cbor:"12,keyasint" json:"limits"`
	Models     []ModelAdvert `cbor:"13,keyasint,omitempty" json:"models"`
	RTTs       []PeerRTT     `cbor:"14,keyasint,omitempty" json:"rtts"`
	Addrs      []Addr        `cbor:"15,keyasint,omitempty" json:"addrs"`
	Name       string        `cbor:"16,keyasint,omitempty" json:"name,omitempty"`      // of the machine, for people
	Membership Membership    `cbor:"18,keyasint" json:"-"`                             // peers that never met the sender check it too
	Unreached  []PeerID      `cbor:"19,keyasint,omitempty" json:"unreached,omitempty"` // that serve, and were dialled in vain
}

// Grant verifies the membership of the sender at a time and returns its grant.
func (a *Advert) Grant(now time.Time) (*Grant, error) {
	return a.Membership.Verify(a.Swarm, a.Peer, now)
}

// TTL returns how long the advert counts.
func (a *Advert) TTL() time.Duration { return time.Duration(a.TTLSec) * time.Second }

// IssuedAt returns when the peer signed it, by its own clock.
func (a *Advert) IssuedAt() time.Time { return time.UnixMilli(a.Issued) }

// Validate checks form and limits, not time or signature.
func (a *Advert) Validate() error {
	if err := a.Peer.Validate(); err != nil {
		return err
	}
	if a.Seq == 0 || a.Issued < 0 || a.TTLSec == 0 || a.TTL() > protocol.MaxAdvertTTL {
		return invalid("advert %d issued %d with a TTL of %d s", a.Seq, a.Issued, a.TTLSec)
	}
	for _, t := range []struct{ what, s string }{{"version", a.Version}, {"engine", a.Speeds.Engine}, {"name", a.Name}} {
		if err := validLine(t.what, t.s, protocol.MaxTextVersion); err != nil {
			return err
		}
	}
	if a.Capability == 0 || a.Cores > 1<<16 {
		return invalid("capability %d, %d cores", a.Capability, a.Cores)
	}
	for _, s := range []Space{a.Memory, a.Disk} {
		if s.Total > math.MaxInt64 || s.Lent > s.Total || s.Free > s.Lent {
			return invalid("space of %d, lent %d, free %d", s.Total, s.Lent, s.Free)
		}
	}
	if a.Speeds.MemBytesPerSec > math.MaxInt64 || a.Speeds.DotOpsPerSec > math.MaxInt64 || a.Limits.UploadBytesPerSec > math.MaxInt64 {
		return invalid("speed out of range")
	}
	if err := a.Membership.Validate(); err != nil {
		return err
	}
	return a.validLists()
}

func (a *Advert) validLists() error {
	if len(a.Models) > protocol.MaxAdvertModels || len(a.RTTs) > protocol.MaxAdvertRTTs {
		return invalid("%d models, %d round trips", len(a.Models), len(a.RTTs))
	}
	seen := make(map[cid.Cid]bool, len(a.Models))
	for i := range a.Models {
		if err := a.Models[i].validate(); err != nil {
			return err
		}
		if seen[a.Models[i].Model] {
			return invalid("model %s twice", a.Models[i].Model)
		}
		seen[a.Models[i].Model] = true
	}
	for _, r := range a.RTTs {
		if err := r.Peer.Validate(); err != nil {
			return err
		}
	}
	if len(a.Unreached) > protocol.MaxAdvertUnreached {
		return invalid("%d peers dialled in vain", len(a.Unreached))
	}
	for _, p := range a.Unreached {
		if err := p.Validate(); err != nil {
			return err
		}
	}
	return validAddrs(a.Addrs)
}

func (m *ModelAdvert) validate() error {
	if err := ValidCID(m.Model); err != nil {
		return err
	}
	if err := validLine("name", m.Name, protocol.MaxTextName); err != nil {
		return err
	}
	if len(m.Held) > protocol.MaxAdvertRanges || len(m.Served) > protocol.MaxAdvertRanges {
		return invalid("%d ranges held, %d served", len(m.Held), len(m.Served))
	}
	for _, r := range m.Held {
		if err := r.Validate(); err != nil {
			return err
		}
	}
	for _, s := range m.Served {
		if err := s.Range.Validate(); err != nil {
			return err
		}
		if max(s.StepNs, s.PrefillNs) > uint64(protocol.MaxStepTime) || s.FreeTokens > math.MaxInt64 || s.Queue > protocol.MaxQueue {
			return invalid("step of %d ns, prefill of %d ns, %d free tokens, %d steps waiting", s.StepNs, s.PrefillNs, s.FreeTokens, s.Queue)
		}
	}
	return nil
}

// SignAdvert signs a with the key of a.Peer and returns what is gossiped. An advert over
// protocol.MaxAdvert is an error: the caller leaves models out.
func SignAdvert(key ed25519.PrivateKey, a *Advert) ([]byte, error) {
	if PeerIDOf(key.Public().(ed25519.PublicKey)) != a.Peer {
		return nil, ErrBound
	}
	payload, err := Encode(a)
	if err != nil {
		return nil, err
	}
	s := signedMessage{Signed{Payload: payload, Signature: sign(domainAdvert, key, payload)}}
	b, err := Encode(&s)
	if err == nil && len(b) > protocol.MaxAdvert {
		return nil, invalid("advert of %d bytes, at most %d", len(b), protocol.MaxAdvert)
	}
	return b, err
}

// OpenAdvert reads a gossiped advert of a swarm and verifies the sender's signature. Its
// time and its membership (Advert.Grant) are for the caller to check.
func OpenAdvert(data []byte, swarm SwarmID) (*Advert, error) {
	s, err := PeekAdvert(data, swarm)
	if err != nil {
		return nil, err
	}
	return s.Open()
}

// SealedAdvert is a signed advert of which only the head was read.
type SealedAdvert struct {
	// Head has Swarm, Peer, Seq, Issued, TTLSec and Membership of the advert and nothing else.
	Head    *Advert
	Models  int // how many it lists
	payload []byte
}

// advertHead are the fields of a sealed advert's head.
type advertHead struct {
	Swarm      SwarmID    `cbor:"1,keyasint"`
	Peer       PeerID     `cbor:"2,keyasint"`
	Seq        uint64     `cbor:"3,keyasint"`
	Issued     int64      `cbor:"4,keyasint"`
	TTLSec     uint32     `cbor:"5,keyasint"`
	Models     listLength `cbor:"13,keyasint,omitempty"`
	Membership Membership `cbor:"18,keyasint"`
}

// listLength is how many items a list has.
type listLength int

// UnmarshalCBOR implements cbor.Unmarshaler. It does not look at the items.
func (l *listLength) UnmarshalCBOR(data []byte) error {
	major, n, _, err := canonicalHead(data)
	if err != nil || major != majorArray || n > uint64(len(data)) {
		return invalid("no list")
	}
	*l = listLength(n)
	return nil
}

// Validate checks form.
func (h *advertHead) Validate() error { return errors.Join(h.Peer.Validate(), h.Membership.Validate()) }

// PeekAdvert verifies the sender's signature of a gossiped advert of a swarm and reads what
// tells whether the advert counts. It takes no memory for the rest, so that adverts that are
// not kept cost none. The result keeps data.
func PeekAdvert(data []byte, swarm SwarmID) (*SealedAdvert, error) {
	if len(data) > protocol.MaxAdvert {
		return nil, invalid("advert of %d bytes", len(data))
	}
	s, err := signedParts(data)
	if err != nil {
		return nil, err
	}
	var h advertHead
	if err := Decode(s.Payload, &h); err != nil {
		return nil, err
	}
	if err := verify(domainAdvert, h.Peer.PublicKey(), s.Payload, s.Signature); err != nil {
		return nil, err
	}
	if h.Swarm != swarm {
		return nil, ErrForeign
	}
	head := &Advert{Swarm: h.Swarm, Peer: h.Peer, Seq: h.Seq, Issued: h.Issued, TTLSec: h.TTLSec, Membership: h.Membership}
	return &SealedAdvert{head, int(h.Models), s.Payload}, nil
}

// Open reads the whole advert. It does not keep the data that was peeked at.
func (s *SealedAdvert) Open() (*Advert, error) {
	a := new(Advert)
	if err := Decode(s.payload, a); err != nil {
		return nil, err
	}
	return a, nil
}

// signedParts reads a Signed that travels on its own. Its parts are parts of data.
func signedParts(data []byte) (s signedMessage, err error) {
	if err := checkCanonical(data); err != nil {
		return s, err
	}
	major, pairs, n, err := canonicalHead(data)
	if err != nil || major != majorMap {
		return s, invalid("no signed message")
	}
	for data = data[n:]; pairs > 0; pairs-- {
		major, key, _, _ := canonicalHead(data) // whole items, as checked above
		n, _ := canonicalItem(data, 1)
		value := data[n:]
		n, _ = canonicalItem(value, 1)
		data = value[n:]
		if major != majorUint || key != 1 && key != 2 {
			continue // unknown
		}
		kind, _, head, _ := canonicalHead(value)
		if kind != majorBytes {
			return s, invalid("signed message with a part of major type %d", kind)
		}
		if key == 1 {
			s.Payload = value[head:n]
		} else {
			s.Signature = value[head:n]
		}
	}
	return s, s.Validate()
}

// signedMessage is a Signed that travels on its own.
type signedMessage struct{ Signed }

// Validate checks form.
func (s *signedMessage) Validate() error { return s.validate(protocol.MaxAdvert) }
