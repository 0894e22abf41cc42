// Package doctor says what is wrong with a node and what to do. Facts are what was found,
// as plain data; Examine makes findings of them, by one function for each check. Prober finds
// out what answers at the addresses of peers, without the network library: TCP connections,
// and packets that any QUIC server answers.
//
// Package node gathers the facts and is the importer. All is safe for concurrent use.
package doctor
