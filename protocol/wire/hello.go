package wire

import "github.com/covey-network/covey/protocol"

// The roles a peer announces; they inform, grants decide.
const (
	RoleGateway = "gateway" // answers clients
	RoleServe   = "serve"   // hosts stages
	RoleStore   = "store"   // keeps blocks
)

// Hello is the first message of either side of a connection.
type Hello struct {
	Capability    uint32     `cbor:"1,keyasint"`
	MinCapability uint32     `cbor:"2,keyasint"`
	Version       string     `cbor:"3,keyasint"` // of the program, for people
	Swarm         SwarmID    `cbor:"4,keyasint"`
	Membership    Membership `cbor:"5,keyasint"`
	Roles         []string   `cbor:"6,keyasint"`           // sorted, unique
	Time          int64      `cbor:"7,keyasint,omitempty"` // Unix milliseconds by the sender's clock; 0: not told
}

// Validate checks form; Membership.Verify decides.
func (h *Hello) Validate() error {
	if h.Capability == 0 || h.MinCapability == 0 || h.MinCapability > h.Capability {
		return invalid("capabilities %d to %d", h.MinCapability, h.Capability)
	}
	if err := validLine("version", h.Version, protocol.MaxTextVersion); err != nil {
		return err
	}
	if h.Time < 0 {
		return invalid("time %d", h.Time)
	}
	if err := validWords("role", h.Roles, protocol.MaxRoles); err != nil {
		return err
	}
	return h.Membership.Validate()
}

// Common returns the capability that this build and the sender of h share, false if none.
func (h *Hello) Common() (uint32, bool) {
	c := min(h.Capability, protocol.Capability)
	return c, c >= h.MinCapability && c >= protocol.MinCapability
}
