// Package hosting decides which range of a model a node serves, and brings it there:
// fetch, load, announce, and again after a restart. Choose is the decision, Manager the
// rest. A Manager is safe for concurrent use; its goroutines end with Run.
package hosting
