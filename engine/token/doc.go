// Package token turns text into the token ids a model was trained on, and back.
//
// The main type is [Tokenizer]. [FromHF] builds one from a Hugging Face tokenizer.json
// (byte-level and SentencePiece-style BPE, Unigram, WordPiece) and gives the ids of that
// library; [FromVocab] builds one from the vocabulary arrays of a GGUF file (gpt2, llama,
// bert) and gives the ids of llama.cpp. Both run the same pipeline: cut out added tokens,
// normalise, split into words, encode each word, add the special tokens around it.
//
// Text of users must not become control tokens: encode it with [Options].ParseSpecial off,
// or, inside a rendered chat prompt, name its place in [Options].Literal. Neither way gives
// the id of a special token, whatever the text says; only the unknown token stays possible.
// Special are the tokens that the file calls so, those that end the model's texts, and added
// ones that look like a role or an end (controlLike).
//
// A Tokenizer is read-only after it is built and safe for concurrent use. A [Decoder] holds
// the state of one stream and is not. Files come from strangers: sizes are limited, features
// we do not know are errors that name their JSON path, no input panics, and the memory of an
// encoding stays proportional to the text, whatever the file. The cost of an encoding is
// O(n log n) in the length of the text for BPE and O(n) otherwise (times the longest token,
// at most 1024 bytes).
//
// The package reads no files and imports nothing of ours.
package token
