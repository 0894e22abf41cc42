// Package nn holds what the architectures under engine/model share: the names of a
// model's parts, loading of weights into kernels' form, linear layers, embeddings,
// rotary frequencies, and sessions with their key-value caches.
//
// The main types are [Loader], which turns named tensors into layers and checks their
// shapes, and [Session], the memory of one running sequence. Layers are read-only after
// loading and safe for concurrent use; a Session is for one call at a time.
package nn
