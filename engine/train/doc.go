// Package train trains models on one machine: a model by configuration, an optimiser with
// its schedule, and exact checkpoints.
//
// The main type is [Trainer]. Step takes a [Batch] and does one step; Gradient and Apply are
// its halves, for those who average gradients or parameters between peers: Params are one
// flat vector with gradients beside it. PrivateGradient is Gradient that hides each sample.
// Evaluate scores batches as the model is used.
// Everything is derived from a seed and counters, so the same configuration and batches
// give the same bits for any number of threads and every instruction set, and a run that
// was saved and loaded goes on as if it had not stopped.
//
// A Trainer is for one goroutine at a time. Importers are cmd and node/trainer.
package train

import _ "go4.org/unsafe/assume-no-moving-gc" // Gorgonia refuses to start without a version that knows this Go
