// Package sim lets many peers train together in virtual time: members of a job with real
// signatures (what was signed in the run is not verified again at each receiver), the machines of consensus/round, consensus/agree and consensus/gossip, codecs and
// rules, on a network in memory that delays, loses, doubles and reorders, with peers that come,
// go, stop, are slow, have a wrong clock, or lie. One run is one goroutine and one queue of
// events: the same [Config] gives the same run, event by event ([Report.Trace]).
//
// What is learned is testnet/toy, with data of its own at each member.
//
// A message to all goes to each member by itself, as a tree of links would bring it; the mesh
// of a gossip topic brings more copies. A message is lost as a whole, the slices of updates
// too, and what has no answer is sent again after a second.
//
// # Modes
//
// Rounds: all members are in one round of consensus/round at a time, as DiLoCo is: at most
// 64. Membership and state are certified by a quorum, round by round; all members hold the
// same bits.
//
// Groups: any number of members. They stand in groups (group.Of), each of which does one round
// of consensus/round, and in the next round in other ones. See below.
//
// Gossip: each member mixes with a few neighbours whenever it is ready (consensus/gossip).
// Nothing is certified. Who takes part is known from the adverts of the swarm; these are not
// simulated but for the time after which each peer knows of a change, and not counted.
//
// # Groups: what is certified, and what is not
//
// Certified is who takes part. A list of members, the roster, holds for an epoch of
// rounds. Who is proven to contradict itself in a group is on no further roster. Whoever wants to be on the next one says so, signed, to the committee: members of
// this roster, drawn by hash, anew for each epoch, who agree on the next roster (consensus/agree,
// two thirds). A leave is to stop saying so. A roster names the round with which it begins,
// and the roster before it by hash.
//
// Certified is the result of each group: round, roster and members make a job of one
// round, its base a hash of them, and a quorum of the group signs which result each slice has.
// Nobody takes part in two groups of one round, and other rosters make other jobs, so the
// members of one group cannot be brought to two results. Members put the results in the place
// of their own values, so they hold the same bits in every slice that has one; each keeps its
// own values of a slice whose owner was silent. A group without a quorum does nothing.
//
// Not certified is anything across groups: members of two groups hold different
// parameters, which come near each other as groups change (exactly equal after one turn of
// the grid if nobody learned meanwhile and nobody failed, which no one signs). A model is what
// one group has certified. What a member brings into a group is its own word; the rule bounds
// what that does. In each mode the owner of a slice makes its result alone: nobody checks it.
package sim
