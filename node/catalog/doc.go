// Package catalog knows the models of a node: it imports model files into blocks, reads
// manifests, and gives the engine its tensors back from blocks.
//
// The main type is [Catalog]. A model is its manifest: the identifier of the manifest's
// first block is the model's identity, and the same files under the same name give the
// same identity everywhere. What is here is what the store's pins and names say; the
// blocks of a model may be here in part, and what is missing or damaged is fetched from
// peers by a [Fetcher], if there is one, when it is needed.
//
// Manifests, tokenizers and templates come from strangers. A manifest is used only if its
// configuration is valid and its parts are exactly those of the configuration, and memory
// for a tensor is taken only when its blocks are here.
//
// A Catalog is safe for concurrent use. Importers are node, node/hosting and cmd.
package catalog
