// Package round carries the members of a job from one round of training to the next. It is a
// pure machine: no network, no disk, no clock, no goroutine. Its driver gives it messages,
// ticks and answers, and carries out what [Machine.Ready] says; what the driver does with
// updates, their codec and the rule, the machine does not see.
//
//	        one round, at one member
//	                                                  deadline
//	┌─────────┐ Update  ┌─────────┐ all headers, or   ╌╌╌╌╌╌╌╌  ┌─────────┐ all slices,
//	│  work   │────────▶│ headers │ a quorum's and the deadline │ slices  │ or the deadline
//	│ (driver)│         │ commit  │────────────────────────────▶│ reveal  │────────┐
//	└─────────┘         └─────────┘                             └─────────┘        │
//	     ▲                                                                         ▼
//	     │ Committed    ┌─────────┐ certificate   ┌─────────┐ all results, ┌─────────┐
//	     └──────────────│ commit  │◀──────────────│  agree  │◀─────────────│ results │
//	     members of the │ once    │ of a quorum   │ outcome │ or deadline  │ fetch   │
//	     next round     └─────────┘               └─────────┘              └─────────┘
//
// # A round
//
// Work: the driver learns from its own data, beginning with the state that was certified.
// Headers: each member signs and gossips hashes of the slices of its update, one slice for
// each member, before it shows any. Slices: slice i goes to member i, its owner, and only
// to an owner that has sent a header, so that nobody forms an update after having seen
// another one. Results: the owner makes one slice of those that it got and tells its hash;
// each member fetches all results. Agree: the leader proposes an outcome (results, root of
// the state after it, members of the next round), the others vote for it if they hold its
// results and have found the same root, and a quorum's votes are its certificate (package
// agree). Commit: the driver puts the new state and the certificate in the place of the old
// ones, in one step.
//
// More members than [Config.Group] average in groups: slices are those of the members of one's own
// group, and results come from the owners of all groups.
//
// Who is silent is left out: the update of a member without a header in time does not count,
// and the slice of an owner that has not given its result in time is not changed in that
// round. With [Config.Whole] an outcome has all slices of all members, or none: it changes
// nothing then, and the silent are members no longer.
//
// A member waits for the others as long as the median of what it has measured in past rounds
// and K median absolute deviations more, within bounds ([Span]); and never goes on without
// a quorum.
//
// # Members
//
// The members of a round are what the certificate of the round before says. A peer comes by
// its signed Join and goes by its signed Leave, or because of two messages that contradict
// each other and are shown in the outcome, or because no round of the last SilentRounds
// counted its update and whoever votes for that has not heard of it either. Fewer than a
// quorum decide nothing: a cut-off minority stays where it is, says so in [Machine.Status],
// and takes over what the others have decided when it hears from them again.
//
// A member that is behind asks for the certificates that it lacks ([Ready.Chain]), each of
// which it checks against the members that the one before it names, and then for the state
// ([Ready.Fetch] of results while they fit its own state, else [Ready.FetchState]).
//
// # Once
//
// A round is applied once: Commit brings a draft to apply only while the driver's state is the
// one that the round began with. A driver that was stopped between its own commit and
// [Machine.Committed] is told Commit again, with nothing to apply. What must not be forgotten
// is in [Ready.Persist], to be durable before anything else of that Ready is done.
//
// # Hostile input
//
// Message bodies are as train.Sealed.Open gave them: the form is valid and the signature
// verified. What is kept of each member is bounded: two contradicting messages of a kind in
// a round, and one message of a kind of the round after it.
//
// The package may be imported by consensus and node. A Machine is not safe for concurrent
// use: one goroutine owns it.
package round
