// Package train holds the messages by which the peers of a swarm train a model together:
// a job and its announcement, the members of its rounds, commitments to updates, results,
// and the votes and certificates that end a round. protocol/spec/train.md describes them.
//
// Every message that is gossiped is signed by the peer that it names as its sender, see
// Seal and Sealed.Open. Decoding checks form and limits; time, membership, and whether a
// message fits the state of a round are for the caller. Messages are plain values: they
// may be shared between goroutines as long as nobody changes them.
package train
