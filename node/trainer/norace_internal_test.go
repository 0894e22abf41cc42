//go:build !race

package trainer

// groupPeers are the members that TestGroups has, and groupMost how many of them average at once.
const groupPeers, groupMost = 20, 7
