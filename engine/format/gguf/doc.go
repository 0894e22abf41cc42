// Package gguf reads GGUF files, versions 2 and 3, little-endian: metadata, and where the
// tensors lie. Open returns a File; tensors are read from the file when asked for. The
// files may be hostile: counts are checked against limits and against the bytes that are
// left before memory is allocated, sizes with checked arithmetic. A File is safe for
// concurrent reads.
//
// The format is ggml's docs/gguf.md. Importer is engine/model.
package gguf
