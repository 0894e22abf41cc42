package api

import (
	"encoding/json"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// ClockFar is from when on clocks that differ are a problem to tell: adverts are soon not
// taken by peers whose clocks are further apart than protocol.MaxClockSkew.
const ClockFar = protocol.MaxClockSkew / 2

// Status describes a node.
type Status struct {
	Version    string        `json:"version"`
	Name       string        `json:"name,omitempty"`
	Peer       wire.PeerID   `json:"peer"`
	Swarm      wire.SwarmID  `json:"swarm"`
	Owner      bool          `json:"owner"` // holds the swarm's key: may invite
	Capability uint32        `json:"capability"`
	Addrs      []wire.Addr   `json:"addrs"`
	API        string        `json:"api"`
	DataDir    string        `json:"data_dir"`
	Uptime     time.Duration `json:"uptime_ns"`
	CPU        string        `json:"cpu"` // instruction set in use
	Cores      int           `json:"cores"`
	Peers      int           `json:"peers"` // connected
	Paths      Paths         `json:"paths"`
	Sessions   int           `json:"sessions"`
	Memory     wire.Space    `json:"memory"`
	Disk       wire.Space    `json:"disk"`
	DiskFull   string        `json:"disk_full,omitempty"` // why nothing can be stored now; empty if something can
	Speeds     wire.Speeds   `json:"speeds"`
	Hosted     []Hosted      `json:"hosted"`
	Loading    []string      `json:"loading,omitempty"` // models that requests wait for, by the names they use
	Damage     Damage        `json:"damage"`
	Membership Membership    `json:"membership"`
	Clock      string        `json:"clock,omitempty"`   // which machine's clock seems to be wrong, and what to do
	Network    string        `json:"network,omitempty"` // whether others reach this machine, and whether it relays
	Reach      string        `json:"reach,omitempty"`   // why no peer of the swarm is connected, if any is known
}

// Paths counts the known peers by the way to them.
type Paths struct {
	Direct      int `json:"direct"`
	Relayed     int `json:"relayed"`
	Unreachable int `json:"unreachable"`
	Lost        int `json:"lost"`    // a moment ago; dialled or asked again
	Untried     int `json:"untried"` // not dialled yet, or long ago
}

// Membership is by what right a node is in its swarm, and how long.
type Membership struct {
	State     string      `json:"state"` // founder, deputy, member, joining (no renewal yet), over, revoked
	Scopes    []string    `json:"scopes"`
	Expires   time.Time   `json:"expires"`
	RenewsAt  time.Time   `json:"renews_at"`
	GrantedBy wire.PeerID `json:"granted_by,omitempty"` // the deputy; empty: the founder, or an invitation of its
	// GranterName is the deputy's name for people, empty if it is not heard of.
	GranterName string    `json:"granted_by_name,omitempty"`
	Invitation  string    `json:"invitation"`               // its id in hex: what covey invite --revoke takes
	Reached     time.Time `json:"granter_reached,omitzero"` // when a peer that renews last answered, since the start
	Problem     string    `json:"problem,omitempty"`        // Trouble in a line, for people
	Trouble     *Trouble  `json:"trouble,omitempty"`        // nil: nothing is wrong
}

// Ended reports whether other peers no longer take the node for a member.
func (m *Membership) Ended() bool { return m.State == "over" || m.State == "revoked" }

// Damage is what this node's disk has lost or changed.
type Damage struct {
	Found int    `json:"found_blocks"`          // found damaged since the start, and taken out of use
	Open  int    `json:"open_blocks"`           // of all times, not fetched again yet
	Moved string `json:"moved_store,omitempty"` // where the start put a store that it could not read
}

// Hosted is a stage this node serves or is about to.
type Hosted struct {
	Model string       `json:"model"`
	Name  string       `json:"name"`
	Range wire.Range   `json:"range"`
	State string       `json:"state"` // fetching, loading, serving, failed
	Error string       `json:"error,omitempty"`
	Stats *wire.Served `json:"stats,omitempty"`
}

// Path is the way to a peer.
type Path struct {
	State   string      `json:"state"`              // direct, relayed, unreachable, lost, untried
	Via     wire.PeerID `json:"via,omitempty"`      // the relay of a relayed one
	ViaName string      `json:"via_name,omitempty"` // its name for people
	Reason  string      `json:"reason,omitempty"`   // of an unreachable one
	Since   time.Time   `json:"since,omitzero"`
	Addr    wire.Addr   `json:"addr,omitempty"` // of a direct one: where the peer is connected
}

// Connected reports whether there is a connection.
func (p *Path) Connected() bool { return p.State == "direct" || p.State == "relayed" }

// Peer is another member of the swarm. What its hello and advert tell is empty if it is not
// connected, or was not heard of.
type Peer struct {
	ID       wire.PeerID        `json:"id"`
	Name     string             `json:"name,omitempty"`
	Version  string             `json:"version"`
	Addrs    []wire.Addr        `json:"addrs"`
	RTT      time.Duration      `json:"rtt_ns"`
	Path     Path               `json:"path"`
	Cores    uint32             `json:"cores"`
	Memory   wire.Space         `json:"memory"`
	Disk     wire.Space         `json:"disk"`
	Speeds   wire.Speeds        `json:"speeds"`
	Models   []wire.ModelAdvert `json:"models"`
	Expected bool               `json:"advert"` // has advertised its capacity

	Clock      time.Duration `json:"clock_ahead_ns"` // of the node's own
	Scopes     []string      `json:"scopes"`
	Expires    time.Time     `json:"expires"`    // of its membership
	Invitation string        `json:"invitation"` // that its membership goes back to, in hex
}

// Model is a model that this node holds, wholly or in part, or has heard of.
type Model struct {
	Name         string    `json:"name"`
	CID          string    `json:"cid"`
	Builtin      bool      `json:"builtin,omitempty"` // in the program: its first use brings it here
	Task         string    `json:"task,omitempty"`
	Arch         string    `json:"arch,omitempty"`
	Quantization string    `json:"quantization,omitempty"`
	License      string    `json:"license,omitempty"`
	Created      time.Time `json:"created,omitzero"`
	Bytes        int64     `json:"bytes"` // of weights and tokenizer; what tensors share counts once
	BytesHere    int64     `json:"bytes_here"`
	Blocks       int       `json:"blocks"`
	Context      int       `json:"context,omitempty"`
	NoTemplate   bool      `json:"no_chat_template,omitempty"` // it completes texts, but cannot chat; told of a single model
	Pinned       bool      `json:"pinned"`
	Served       bool      `json:"served,omitempty"` // by this node, which keeps it then as a pin does
	Peers        int       `json:"peers"`            // that hold some of it
	Serving      int       `json:"serving"`          // of these, that serve some of it
	Parts        []Part    `json:"parts,omitempty"`
}

// Part is a piece of a model in the answer to show.
type Part struct {
	Name    string   `json:"name"`
	Bytes   int64    `json:"bytes"`            // of its own
	Shared  int64    `json:"shared,omitempty"` // further ones that parts before it have too
	Here    bool     `json:"here"`
	Tensors []Tensor `json:"tensors,omitempty"`
}

// Tensor is a tensor in the answer to show.
type Tensor struct {
	Name   string   `json:"name"`
	DType  string   `json:"dtype"`
	Shape  []uint64 `json:"shape"`
	Blocks int      `json:"blocks"`
}

// ImportRequest asks for a model in files of the node's machine to be imported.
type ImportRequest struct {
	Path     string `json:"path"`
	Name     string `json:"name,omitempty"`
	Quantize string `json:"quantize,omitempty"` // q8_0 or q4_0
}

// BenchRequest asks for a model that is here to be measured. Zero values are the defaults.
type BenchRequest struct {
	Model   string `json:"model"`
	Threads int    `json:"threads,omitempty"`
	Prompt  int    `json:"prompt,omitempty"`
	Tokens  int    `json:"tokens,omitempty"`
	Streams int    `json:"streams,omitempty"`
	Repeat  int    `json:"repeat,omitempty"`
}

// PullRequest asks for a model, or some of its blocks, to be fetched from peers.
type PullRequest struct {
	Model  string `json:"model"`
	Blocks string `json:"blocks,omitempty"` // "a-b", or empty for all
}

// HostRequest asks for a range to be fetched, loaded and served.
type HostRequest struct {
	Model  string `json:"model"`
	Blocks string `json:"blocks"` // "a-b", "all" or "auto"
}

// PinRequest pins a model or takes the pin back.
type PinRequest struct {
	Model  string `json:"model"`
	Pinned bool   `json:"pinned"`
}

// InviteRequest asks for a join token.
type InviteRequest struct {
	TTL    time.Duration `json:"ttl_ns"`
	Life   time.Duration `json:"renewal_ns,omitempty"` // most that a renewal of a membership lasts; 0: the default
	Scopes []string      `json:"scopes,omitempty"`
	Addrs  []wire.Addr   `json:"addrs,omitempty"` // besides the node's own
}

// Invite is a join token.
type Invite struct {
	Token   string    `json:"token"`
	Expires time.Time `json:"expires"`
	ID      string    `json:"id"` // what a revocation names
}

// RevokeRequest asks to take back invitations, with all memberships that go back to them,
// and the memberships of peers.
type RevokeRequest struct {
	Invitations []string      `json:"invitations,omitempty"` // ids in hex
	Peers       []wire.PeerID `json:"peers,omitempty"`
	Readmit     []wire.PeerID `json:"readmit,omitempty"` // peers that were taken off and may come back; alone
}

// Revoked answers a RevokeRequest that was done.
type Revoked struct {
	RevokeRequest
	Unknown []string `json:"unknown,omitempty"` // of Invitations: no member came by it, and this node did not make it
}

// Event is a line of the answer to long work. The last one has Done or Error set.
type Event struct {
	Stage  string           `json:"stage,omitempty"` // reading, fetching, loading
	Done   bool             `json:"done,omitempty"`
	Error  string           `json:"error,omitempty"`
	Status int              `json:"status,omitempty"` // with Error: the HTTP status that the error has elsewhere
	Bytes  int64            `json:"bytes,omitempty"`
	Total  int64            `json:"total,omitempty"`
	From   map[string]int64 `json:"from,omitempty"` // bytes by peer
	Model  string           `json:"model,omitempty"`
	Name   string           `json:"name,omitempty"`
	Range  *wire.Range      `json:"range,omitempty"`
	Report json.RawMessage  `json:"report,omitempty"` // of a bench

	Names     map[string]string `json:"names,omitempty"`      // of the peers in From, where they are known
	Warnings  []string          `json:"warnings,omitempty"`   // of an import that is done
	NotFinite []NotFinite       `json:"not_finite,omitempty"` // of these, in figures
}

// NotFinite is a tensor with values that are NaN or infinite.
type NotFinite struct {
	Tensor string `json:"tensor"`
	Values int64  `json:"values"`
}

// GCRequest asks for the space of what no model needs.
type GCRequest struct {
	// AcceptLostPins lets it run after both copies of the pins were lost, with the pins that
	// there are now.
	AcceptLostPins bool `json:"accept_lost_pins,omitempty"`
}

// Collected is what a garbage collection did.
type Collected struct {
	Blocks int   `json:"blocks"`
	Bytes  int64 `json:"bytes"` // of the blocks
	Freed  int64 `json:"freed"` // that the disk got back
	Stay   int64 `json:"stay"`  // of the model that was removed, in blocks that others need
	Room   int64 `json:"room"`  // that models can take now
	// Full tells why models can take nothing, and Mend what to do; empty if they can.
	Full string `json:"full,omitempty"`
	Mend string `json:"mend,omitempty"`
	// Models are those that went: the one that was to be removed, and those that were not pinned.
	Models []Removed `json:"models,omitempty"`
	// Sharing are the names of the models that have blocks of the one that was removed.
	Sharing []string `json:"sharing,omitempty"`
}

// Removed is a model that is not here any more.
type Removed struct {
	Name  string `json:"name"`
	CID   string `json:"cid"`
	Bytes int64  `json:"bytes"` // that were here of it
}
