// Package robust combines update vectors of several senders of whom some may lie: means,
// medians, Krum, nearest-neighbour mixing, clipping. [Parse] makes a [Rule] of its name in a
// job file, and [Rule.Aggregate] is the one thing that it does.
//
// Updates may be slices of a longer vector: each owner of a slice runs the rule on its own.
// The same updates in the same order give the same bits on every machine. A result is finite
// whatever finite numbers came in, so it may be kept as the reference of the next round.
// Nothing here has state; a Rule may be used by several goroutines at once.
package robust
