// Package sample draws the next token from the logits of a model.
//
// [Sample] is the main function. It is pure: the same parameters, logits and history give
// the same token with the same log-probability on every machine, so that another peer can
// continue a stream exactly. The steps run in this order:
//
//  1. penalties: the repetition penalty over prompt and generated tokens, then frequency
//     and presence penalty over generated tokens;
//  2. temperature: the logits are divided by it; at 0 the likeliest token is taken and the
//     steps below do not run;
//  3. top-k, top-p and min-p, each on what the one before left over; tokens rank by their
//     logit, those with equal logits by id, lowest first;
//  4. one draw among the tokens left, in order of their ids, with 64 random bits of the
//     Philox generator at (seed, length of the history).
//
// Probabilities are integers, multiples of 2^-42 of the likeliest token's, so sums are
// exact in any order. They come from the exponential of engine/kernel, which has the same
// bits everywhere. Tokens below 2^-42 of the likeliest are never drawn.
//
// Log-probabilities, of the drawn token and of the alternatives, are the log-softmax of the
// logits as the model gave them, before penalties and temperature.
//
// [StopMatcher] finds stop texts in a stream of text pieces.
//
// Sample is safe for concurrent use, a StopMatcher belongs to one stream. The package
// imports at most engine/kernel.
package sample
