// Package store keeps blocks of at most 1 MiB under the hash of their bytes, in Badger.
//
// The main type is [Store]. Every read hashes what it returns: Badger gives wrong or empty
// bytes without an error after disk damage, so a block that is missing, empty or other than
// its identifier says is quarantined (recorded, deleted, reported) and the caller gets a
// [CorruptError], which means: fetch it from a peer. Every write first asks whether there
// is room. Badger's memory-mapped writes end the process on a full disk, so on Linux each of
// its files gets its room before it is mapped; without room the store is read-only, and what
// frees room has a reserve to work with.
//
// Pins and names live in a small checksummed file beside the database, so that they
// survive the loss of the database. [Store.GC] keeps what pins reach, what a [Hold]
// protects, and what is put while it runs.
//
// A Store is safe for concurrent use. This package knows nothing of models: how to find the
// links of a block is in its Config.
package store
