// Package safetensors reads the headers of safetensors files and gives access to their
// tensors without reading the files as a whole. Open returns a File, OpenIndex the files
// that an index names. The files may be hostile: every count is checked against limits and
// the file's size before memory is allocated. A File is safe for concurrent reads. Write
// makes files of float32 tensors.
//
// Importers are engine/format/hf, engine/model and engine/train.
package safetensors
