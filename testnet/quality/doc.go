// Package quality measures what training together costs in quality: swarms of processes, each
// with data of its own, beside one process that has the data of all.
//
// Only programs and tests below testnet import it.
package quality

// Members is how many peers train together.
const Members = 8
