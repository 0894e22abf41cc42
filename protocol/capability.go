package protocol

// Capability is what this build can do. It grows by one with every new field or meaning on
// the wire, never shrinks, and no number is reused. MinCapability is the oldest peer this
// build still talks to.
//
//	1  2026-11-24  hello, blocks, infer 1.0.0; signed adverts; join tokens covey1
//	2  2026-11-26  infer: a step of an image model brings its image as a tensor
//	3  2026-11-29  infer: progress while a peer is at work; errors model and bad_input
//	4  2026-11-29  renew and revoke 1.0.0; grants that name their invitation; deputies; time in hellos
//	5  2026-11-29  adverts: which round trips are relayed, and which peers were dialled in vain; blocks pass relays
//	6  2026-11-29  bye 1.0.0; adverts 1.1.0; lost peers are told
//	7  2026-11-30  gossip topics of jobs; train 1.0.0
//	8  2026-11-30  agree 1.0.0: members of a job tell each other directly; train: members of a job hide their samples, to a budget that may end it; joins may tell moments of columns
const (
	Capability    = 8
	MinCapability = 1
)

// Since when peers can do what others must know of before they ask.
const (
	ProgressCapability = 3 // tell on an infer stream that they are at work
	RenewCapability    = 4 // renew memberships, and take revocations
	SwapCapability     = 6 // swap adverts without those that both have
)

// Change is one dated entry of the capability history.
type Change struct {
	Capability uint32
	Date       string // YYYY-MM-DD
	Summary    string
}

// History returns the dated capability history, oldest first. The caller owns the slice.
func History() []Change {
	return []Change{
		{1, "2026-11-24", "hello, blocks, infer 1.0.0; signed adverts; join tokens covey1"},
		{2, "2026-11-26", "infer: a step of an image model brings its image as a tensor"},
		{ProgressCapability, "2026-11-29", "infer: progress while a peer is at work; errors model and bad_input"},
		{RenewCapability, "2026-11-29", "renew and revoke 1.0.0; grants that name their invitation; deputies; time in hellos"},
		{5, "2026-11-29", "adverts: which round trips are relayed, and which peers were dialled in vain; blocks pass relays"},
		{SwapCapability, "2026-11-29", "bye 1.0.0; adverts 1.1.0; lost peers are told"},
		{7, "2026-11-30", "gossip topics of jobs; train 1.0.0"},
		{8, "2026-11-30", "agree 1.0.0: members of a job tell each other directly; train: members of a job hide their samples, to a budget that may end it; joins may tell moments of columns"},
	}
}
