// Package chat renders chat templates: the Jinja templates that language models are
// published with, in a sandboxed subset that gives the text Hugging Face transformers gives.
//
// Template is the main type; Parse makes one and Render applies it to a conversation. A
// template comes from whoever published the model, so nothing in it is trusted: it reaches
// no file, clock or method that is not listed here, cannot change the values it is given,
// and is stopped when it takes too many steps, nests too deeply or writes too much.
//
// A Template is immutable and safe for concurrent use. The package depends on nothing else
// of this module.
package chat
