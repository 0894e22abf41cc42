// Package exchange moves blocks between peers: it serves protocol.Blocks from a store, and
// fetches blocks from several peers into it.
//
// The main type is [Exchange]. Fetch asks every provider for a window of blocks ahead, as
// many as the provider delivers in about a second, and hands a block that a slow provider
// owes to one that has nothing left to do. Every block is hashed before it is stored; a
// provider that sends other bytes than it names is not asked again for a while. A Fetch
// that was cut off goes on where it ended: what the store has is not asked for.
//
// An Exchange is safe for concurrent use. It starts no goroutine that outlives the call of
// Serve or Fetch that started it.
package exchange
