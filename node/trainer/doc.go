// Package trainer runs training jobs inside a node, alone or together with other peers of the
// swarm.
//
// The main types are Trainer, which has a queue of runs and does one at a time, and Run, one of
// them: its events may be watched from its beginning, by several at once. All methods are safe
// for concurrent use. Every goroutine ends with Trainer.Run.
package trainer
