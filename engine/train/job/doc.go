// Package job trains a model as a file says: job.toml names the model, the data and how to
// train, and Run does it on this machine, with validation, checkpoints, early stopping, a
// history of the losses, exact resumption and an export that can be served.
//
// The main types are Job, read by Read and checked as a whole by Validate, and Events, what
// a run tells while it goes on. A run belongs to one goroutine and uses Threads more for the
// arithmetic and one or more for reading data; what it computes depends on the job and the
// data, never on their number. A run that was stopped, or killed at any moment, goes on from
// its last checkpoint to the same bits as one that was not. A Sync ties a run to others of the
// same model, between gradient and step and behind it.
//
// The folder of a run holds
//
//	last.state      all that is needed to go on (see train.Trainer.Save)
//	best.state      the same after the best validation
//	history.csv     a row for each step
//	curve.png       the losses drawn
//	privacy.json    with Options.Private, what of privacy was spent
//	model/          the export: see Export
package job
