package doctor

import (
	"time"

	"github.com/covey-network/covey/node/api"
)

// Facts are what was found on a machine and from it. Zero values are unknown.
type Facts struct {
	Running bool // a node was asked
	Now     time.Time

	Data       Data
	Membership *api.Membership // nil: this machine is of no swarm yet
	Token      *Token          // that the owner gave; nil: none
	Disk       *Disk
	Memory     *Memory
	CPU        CPU
	Ports      []Port
	Network    Network
	Peers      []Peer
}

// Data is the data directory.
type Data struct {
	Dir     string
	Flag    string // that a command to paste needs to use it, after a space; "" if it needs none
	Missing bool   // it is not there yet
	Err     string // why it cannot be used
	Book    string // why the peers that were met are not known
	PID     int    // of the node that runs on it
	// Held tells that a process uses it that answers nothing: with Claimed a node, else a command.
	Held, Claimed bool
	Second        int           // the process of a node that was refused, as this one runs; 0: none
	SecondAgo     time.Duration // when
}

// Token is a join token.
type Token struct {
	Expires time.Time
	Addrs   int
	Other   bool // of another swarm than the data directory
}

// Disk is the disk of the data directory.
type Disk struct {
	Free, Total, Margin int64  // of the disk; the margin must stay free
	Used, Room, Limit   int64  // of the store; room: that models can take; limit 0: none
	Models              int    // there are
	Full, Mend          string // why no model can be stored, and what to do
	Damaged             int    // blocks
}

// Memory is the machine's.
type Memory struct{ Total, Available, Lent, Free int64 } // free: of what is lent

// CPU is the instruction set of the kernels.
type CPU struct{ Arch, Set, Best string }

// Port is an address that this machine listens on, or is to.
type Port struct {
	Addr    string // tcp 0.0.0.0:24001
	For     string // peers, API
	Open    bool   // the node listens there
	Taken   bool   // by another program
	Err     string // why it cannot be listened on
	Instead string // the address that the node took instead
}

// Network is what is known of the way to the world.
type Network struct {
	Off          bool // the node talks to nobody
	Addrs4       []string
	Addrs6       []string // public ones
	Public4      string   // the one of Addrs4 that is public; "": none
	Seen         []Seen
	Reachable    []string // own addresses that others have reached
	Unreachable  []string // that they have tried in vain
	Private      bool     // peers have told that they do not reach this machine at all
	NAT          bool     // port mapping and hole punching are on
	Gateway      bool     // a router that maps ports was found
	Mapped       []string // public addresses that it maps
	Relays       []string // names of peers that hold a reservation for this one
	Relaying     bool     // carries others' connections
	RelayOffered int      // connected peers that relay
	RelayMode    string
	Proxy        string
}

// Seen is an address of this machine as a peer sees it.
type Seen struct {
	Proto    string // tcp, udp
	Local    string // host and port that the connection left from
	As       string // host and port that the peer sees
	Public   bool   // As is an address that the whole internet may reach
	Peer, At string // the peer and its host
}

// States of peers, as node/host has them.
const (
	Direct      = "direct"
	Relayed     = "relayed"
	Unreachable = "unreachable"
	Untried     = "untried"
)

// Peer is another peer of the swarm.
type Peer struct {
	Name   string // or its identity
	First  bool   // the token, or the owner, names its address
	Inside bool   // it tells addresses within another house alone
	State  string
	Reason string // why it is unreachable
	// Refused is how far its clock is ahead of this machine's, if one of the two refuses the other
	// for that; else 0.
	Refused time.Duration
	Via     string // the relay
	RTT     time.Duration
	Clock   time.Duration // ahead of this machine's
	Timed   bool          // its clock is known
	QUIC    bool          // connected over it
	Rate    float64       // bytes a second, if measured
	Rated   string        // why it was not measured
	Probes  []Probe
}

// Connected reports whether there is a connection.
func (p *Peer) Connected() bool { return p.State == Direct || p.State == Relayed }

// Result is what a probe found.
type Result string

// Results of probes.
const (
	Answers Result = "answers" // a covey node does
	Refused Result = "refused"
	Silent  Result = "silent"
	NoRoute Result = "no route"
	Other   Result = "other" // another program answers
	Broken  Result = "broken"
)

// Probe is what was found at an address.
type Probe struct {
	Target
	Guess  bool // no peer is known at this port: it was tried to see whether the machine is there
	Result Result
	Says   string // what another program said, or the error
	After  time.Duration
	MTU    int // bytes of the largest packet that was answered; 0: not measured
	// Narrow tells of a node that answers over TCP, but nothing that fills a packet of wideBytes.
	Narrow bool
}

// came reports whether anything came back.
func (p *Probe) came() bool { return p.Result == Answers || p.Result == Refused || p.Result == Other }
