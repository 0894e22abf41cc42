// Package infer is the asking side of the infer protocol: it opens a session on the first
// stage of a chain and runs steps through it. Client is the main type; it is for one
// goroutine at a time and starts none. Routers drive chains with it, and workers drive
// the rest of a chain behind them.
package infer
