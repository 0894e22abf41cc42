// Package node composes a peer of its parts: store, host, exchange, catalog, worker,
// router, hosting and gateway. Config says how, New checks it, Run opens everything in
// order of dependence, serves until its context ends and closes it in reverse. It also
// holds the control API that the command line uses (types in package api).
package node
