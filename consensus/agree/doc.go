// Package agree lets n members decide one value, by Tendermint's algorithm (Buchman, Kwon,
// Milosevic, "The latest gossip on BFT consensus", arXiv 1807.04938, algorithm 1). It is a
// pure machine: no network, no disk, no clock, no goroutine. Whoever drives it gives it
// messages and ticks, and carries out what [Machine.Ready] says.
//
//	 view 0                                             view 1 (next leader)
//	┌──────────┐   ┌──────────┐   ┌────────────┐       ┌──────────
//	│ propose  │──▶│ prevote  │──▶│ precommit  │──────▶│ propose …
//	└──────────┘   └──────────┘   └────────────┘ no    └──────────
//	leader's value  quorum of      quorum of     quorum
//	or time out     prevotes or    precommits    for one id
//	                time out           │
//	                                   ▼
//	                          decided: certificate
//
// A decision goes through views, each with a leader. In a view each member prevotes once:
// for the leader's proposal if that is valid and no lock forbids it, else for nothing. Who
// sees a quorum of prevotes for one value locks on it and precommits it. A quorum of
// precommits of one view for one value decides, and is the [Certificate]. Who is locked
// prevotes another value only if the proposal shows a quorum of prevotes of a view not
// before the lock ([Msg.Proof]).
//
// # Quorum and faults
//
// [Majority] of n members outlives (n-1)/2 members that stop, come back and stop again, and
// no member that lies: two quorums have a member in common, and that member votes once.
// [TwoThirds] outlives also fewer than n/3 members that say different things to different
// members: two quorums have an honest member in common. Fewer than a quorum never decide;
// [Machine.Status] says how many were heard.
//
// # Stopping and coming back
//
// What a member must remember is in [Ready.Persist]: view, step, lock, and its own messages
// of the view. It is to be durable before [Ready.Send] leaves. A machine made from any state
// that was ever handed out says nothing that contradicts what was sent before. Votes of
// others are not kept on disk; they come again, for each member repeats what it said in its
// view, and shows a member that is behind the votes it lacks, or the certificate.
//
// # Hostile input
//
// [Machine.Step] checks what it is given and keeps at most three messages for each member
// and view, of the view that it is in, of the one before it, and of one later view for each
// member. Two contradicting messages of one member are reported once as [Evidence]. The
// driver has checked, before Step, that the signature in [Msg.Raw] is that of member From
// over the other fields, and that ID is the hash of Value.
//
// The package may be imported by consensus and node. A Machine is not safe for concurrent
// use: one goroutine owns it.
package agree
