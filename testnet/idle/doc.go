// Package idle measures what a swarm of real processes costs that has nothing to do: what
// each node sends and computes, its connections and its memory, how soon all know each other
// after the last start, and how soon those that were killed are forgotten. Measure runs one
// swarm and returns a Row; the program idle prints them.
//
// The traffic is read from the counters of the loopback interface, so it has the overhead of
// packets in it; Isolate gives the program a network of its own, whose counters nobody else
// moves. It reads /proc, so it needs Linux. It is for one goroutine.
package idle
