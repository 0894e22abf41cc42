// Package attack measures what liars among the senders of updates can do to what is learned:
// a small network is trained on synthetic data by twenty senders, of whom some attack, and
// each rule of consensus/robust combines the updates. All is in one process and in memory;
// [Run] is one training, and runs may go on at the same time.
package attack
