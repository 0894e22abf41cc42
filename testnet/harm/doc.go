// Package harm measures what a swarm of real processes stands: peers that lie, hang and
// flood, clients that mean harm, and peers that die. A Check runs one kind of harm on swarms
// of its own and gives Figures with their limits; Lab is where it runs. The program harm prints
// them; the tests of this package run the same checks at a smaller size. A Lab is for one
// check at a time.
package harm
