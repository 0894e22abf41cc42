// Package bench measures how fast this machine runs a model, beside what the machine gives
// at most: the speed of its memory and of the instructions that the kernels are made of.
// [Run] is the front door, for covey bench and for tests. A run uses all its threads and
// should be alone on the machine.
package bench
