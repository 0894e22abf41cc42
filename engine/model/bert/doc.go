// Package bert runs BERT-style encoders: absolute positions, token types, blocks with the
// norm after the sum, and a head that pools hidden states to an embedding (sentence
// encoders such as MiniLM) or classifies the sequence.
//
// The main type is [Stage], a contiguous range of blocks with or without embedding and
// head. It holds weights and scratch memory and is for one call at a time.
package bert
