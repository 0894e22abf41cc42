// Package lab builds a small internet of Linux network namespaces on one machine: a public
// segment, hosts on it, and homes behind routers of several kinds, over lines that delay and lose
// if a Wire says so. Programs run in its hosts with Exec. Nothing in it has a way out of the machine.
//
// New makes a Lab from a Spec, Close removes it, Clean removes what crashed runs left. It
// needs Linux, root, and the programs ip and nft; Missing says which of them is not there.
// A Lab is for one goroutine, but for Exec. Importers are testnet/cmd.
package lab
