// Package hf opens model directories in the layout of Hugging Face's transformers and
// sentence-transformers: configuration, tokenizer, chat template, and the tensors of all
// safetensors files. Open returns a Dir. Files other than these are not looked at, and no
// name in a file leads out of the directory. A Dir is safe for concurrent reads.
//
// Importer is engine/model.
package hf
