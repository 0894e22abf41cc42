// Package net has the models that can be trained, each described by a declarative
// [Config]: multi-layer perceptrons, convolutional networks from a list of layers, ResNets,
// Llama-architecture language models and BERT classifiers. Parameters have the names that
// torchvision or Hugging Face checkpoints give them.
//
// The main type is [Model]: parameters and statistics, from which Build makes a graph for a
// batch size, for training or evaluation. Each architecture is one function that runs twice:
// without a graph it declares parameters, with one it applies operations. A Model is for
// one goroutine at a time.
package net
