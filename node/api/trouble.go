package api

import "time"

// Codes of troubles with a membership. None is used anew for something else.
const (
	TroubleRevoked     = "revoked"      // the membership or its invitation was taken back
	TroublePeerRevoked = "peer_revoked" // this machine was taken off the swarm, whatever its membership
	TroubleNotBegun    = "not_begun"    // it begins later, by this machine's clock
	TroubleEnded       = "ended"        // its time is over
	TroubleClock       = "clock"        // a peer turned this node away, and their clocks are apart
	TroubleTurnedAway  = "turned_away"  // a peer turned this node away
	TroubleNotRenewed  = "not_renewed"  // its time is over soon, and nobody renews it
	TroubleNotJoined   = "not_joined"   // no peer has let this machine in yet
	TroubleTokenEnded  = "token_ended"  // the token's time was over before a peer accepted it
	TroubleTokenOther  = "token_other"  // the token is of another swarm
)

// Trouble is what is wrong with a membership: Code and Clock for programs, the sentences for people.
// The sentences may change.
type Trouble struct {
	Code  string        `json:"code"`
	What  string        `json:"what"`               // in a line
	Do    string        `json:"do,omitempty"`       // in a line; empty if nothing is to be done
	Clock time.Duration `json:"clock_ns,omitempty"` // with TroubleClock: how far the peer's clock is ahead of this one's
}

// Is reports whether there is a trouble, and it has a code.
func (t *Trouble) Is(code string) bool { return t != nil && t.Code == code }

// String is a trouble in a line, for people; nil is "".
func (t *Trouble) String() string {
	switch {
	case t == nil:
		return ""
	case t.Do == "":
		return t.What
	}
	return t.What + "; " + t.Do
}
