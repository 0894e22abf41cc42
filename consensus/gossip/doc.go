// Package gossip is how a member learns from its neighbours without rounds: whenever it has
// done some steps by itself, it sends its parameters to a few others and mixes its own with
// what it has got since the last time. It waits for nobody. It is a pure machine: no network,
// no clock, no goroutine; vectors come decoded, from signatures that the caller has verified.
//
//	steps ──▶ To: send the own vector ──▶ Mix: own + sum of w (theirs - own) ──▶ steps …
//	              Step: a neighbour's vector, at any time ──┘  none longer than the radius
//
// # Turns
//
// Each time a member mixes is a turn of its own. It goes on to the middle one of the turns of
// those it mixed with if that is later, so that who is slow, or new, counts like the others,
// and no single member drives the count. To whom it sends is drawn anew in each turn
// ([group.Drawn]); a receiver draws the same, so that a liar reaches no more members than an
// honest one. Members that are known to one of the two only are on no edge of the other.
//
// # What is safe, and what is not
//
// The rule is self-centred clipping (He et al., arXiv 2202.01545) with Metropolis weights: no
// neighbour moves a member farther than the radius that the rule names or, if it names none, than
// the middle one of those that were heard last would; nobody moves it before half of its neighbours
// were heard. Vectors of another length or with values that are not finite, of a turn that is
// too far away, and of a turn of the sender that was already seen, are left out. At most
// 2*Degree vectors wait at a time. Who finds all others far ahead, as after a long stop, takes
// the median of their vectors in the place of its own, as a newcomer does.
//
// Members never hold the same bits, and nothing is certified: what the members have in common
// is near, not equal. A model that is to be certified takes one round of consensus/round.
//
// The package may be imported by consensus and node. A Machine is not safe for concurrent use.
package gossip
