// Package host is the peer-to-peer side of a node: identity, membership, discovery,
// streams, gossip. Host is the main type; New starts nothing and Run blocks. No other
// package of the node imports the network library: they see ID, Stream and the messages of
// package wire. A Host is safe for concurrent use; each goroutine it starts has ended when
// Run returns.
//
// Every connection begins with a hello, in which both sides prove their membership in the
// swarm. Until then no other protocol of ours, no gossip and no DHT query is served.
package host
