// Package kernel holds the numeric inner loops of the engine: matrix products over
// float and quantised weights, norms, softmax, activations, rotary embedding and
// attention, in assembly for AVX2 and AVX-512 with a pure Go twin of each.
//
// Every result has the same bits on every instruction set, for every number of
// threads and every batch size: integer block sums are exact, and float work runs in
// an order that depends on the index only (lanes are output rows, k is sequential,
// fused multiply-add rounds once).
//
// The main types are [Matrix], weights packed for the kernels, and [Pool], the worker
// threads that a product is split over. Functions write into dst, take no context and
// panic on shapes that do not fit; callers check first. A Matrix is read-only after
// NewMatrix and safe for concurrent use; buffers belong to the caller.
package kernel
