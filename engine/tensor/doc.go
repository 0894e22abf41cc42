// Package tensor defines element types, shapes and raw tensors as model files store them,
// and converts between the stored forms and float32.
//
// The main types are [DType], an element or block type with its sizes, and [Tensor], a
// name, a type, a shape and little-endian bytes. [Dequantize] gives the same bits as the
// reference implementation of the GGUF formats (gguf-py), on every machine; [Quantize]
// rounds as llama.cpp's reference quantisers do. All size arithmetic is checked, so
// shapes that come from files and peers cannot overflow.
//
// Everything here is a value or a pure function and safe for concurrent use.
package tensor
