// Package graph builds and runs training graphs: Gorgonia keeps the expression graph and
// takes the symbolic gradient, the nodes are our own fused operations on the kernels of
// engine/kernel, and a machine of ours runs them.
//
// The main types are [Params], the parameters of a model as views of one flat vector, with
// their gradients in a second one of the same layout; [Graph], to which operations are
// applied; and [Machine], the plan of one step. A graph has static shapes: for another
// batch size another graph is built over the same Params. The machine knows each buffer's
// lifetime, allocates all memory once, writes gradients of parameters straight into the
// flat vector, runs only what its outputs need, and turns a panic of an operation into an
// error with its name. Sums of gradients are taken in the order in which the forward
// operations were applied, so results do not depend on how Gorgonia sorts its graph.
//
// Of Gorgonia's own operations only the additions that its gradient inserts are let in;
// many of the others are silently wrong (see [Graph.Verify]).
//
// A Graph and its Machine are for one goroutine at a time; graphs over the same Params must
// not run at once.
package graph
