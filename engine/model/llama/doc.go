// Package llama runs decoder-only transformers of the Llama family: Llama 2 and 3,
// Mistral, Qwen2 and Qwen3, which differ in rotary scaling, head width, sliding window,
// biases and query and key norms, all told by [Config].
//
// The main type is [Stage], a contiguous range of blocks with or without embedding and
// head. It holds weights and scratch memory and is for one call at a time; sessions hold
// what belongs to a sequence.
package llama
