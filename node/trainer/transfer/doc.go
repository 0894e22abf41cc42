// Package transfer moves the bulk of training between the members of a job over
// protocol.Train: slices of updates to their owners, results to everybody, and certificates
// and states to those who come late.
//
// The main types are Client, which asks, and Source, which answers through Serve. Whatever
// comes from a peer is bounded before memory is taken for it. A Client keeps one or more
// streams to each peer, over which requests go one after the other.
package transfer
