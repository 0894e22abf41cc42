// Package router finds the chain of peers that answers a request soonest and drives a
// session through it. Router is the main type; Plan explains a choice, Open makes a
// Session. When a peer of a chain fails, the session goes on over another chain with the
// same tokens: it keeps the history, and draws depend on seed and position only.
//
// A Router is safe for concurrent use and starts no goroutine; a Session is for one
// goroutine at a time.
package router
