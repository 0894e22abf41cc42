// Package op has the fused operations of training: each applies one node to a
// [graph.Graph], with forward and backward work on the kernels of engine/kernel. Values are
// row-major float32; images are (batch, channels, height, width), sequences are matrices of
// one row per token. A shape that does not fit fails the graph, see [graph.Graph.Fail].
//
// The functions only build; one graph is built by one goroutine. Importers are packages
// under engine/train.
package op
