// Package bench measures steps of training on models of fixed sizes, so that they can be
// put beside PyTorch's on the same machine: a perceptron, a small convolutional network, a
// small language model and ResNet-18, all with Adam. [Run] measures one of them.
//
// A run is for one goroutine; nothing else should run on the machine. Importer is cmd.
package bench
