//go:build race

package trainer

// With the race detector twenty nodes on one machine are too slow for each other: a round goes on
// without those who are late, as it should.
const groupPeers, groupMost = 9, 4
