// Package model imports checkpoints and runs them in stages.
//
// [Import] opens a Hugging Face directory, one with a ResNet of torchvision or timm, or a
// GGUF file as a [Checkpoint]: configuration, tokenizer (of models of text), and a list of
// tensors by [Part], each with a function that reads it. [Load]
// makes a [Stage] of a contiguous range of parts; a whole model is one stage. A Stage runs
// batches of sessions: [Stage.Forward].
//
// Results have the same bits for every batch, number of threads, split into stages and
// chunking of a prompt. A Stage is safe for concurrent use, its calls run one after
// another; a [Session] is for one call at a time. Everything read from files and peers is
// checked: bad input gives an error and never a panic.
//
// The architectures are in the folders below. Importers are node/worker, node/trainer,
// node/catalog and cmd.
package model
