// Package hostile is a peer that means harm: it joins a swarm with a real token, claims to
// serve a model fast, and then lies, hangs, floods or sends garbage, as its mode says. Modes
// lists what it can do. Peer is the main type; Run owns all of its goroutines, and the other
// methods may be called by any while it runs. Tests and the program hostile import it; it is
// beside node/host the one place that speaks libp2p itself, for what an honest host does not do.
package hostile
