// Package worker runs stages of models on the engine for the sessions of other peers, and
// of this one. Worker is the main type: Load and Unload decide what it serves, Serve
// handles one session's stream, Run owns the goroutines. It is safe for concurrent use.
//
// Each loaded stage batches the steps of all its sessions. Memory of a session is
// accounted and reserved before it is used; what does not fit is refused with a typed
// error, and so is a step when a stage's queue is full.
package worker
