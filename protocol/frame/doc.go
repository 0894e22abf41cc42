// Package frame cuts a byte stream into typed frames: a uvarint length, one type byte and
// the payload; the length counts the type byte. A Reader checks the length against the
// maximum of the type before it allocates. A Reader and a Writer each belong to one
// goroutine. Tensors travel as frames of their own, see Tensor.
package frame
