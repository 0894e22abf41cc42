// Package gateway is a node's HTTP side: the OpenAI API over the models of the swarm, the
// node's own control routes, metrics and health. Gateway is the main type; New starts
// nothing, Run serves until its context ends and then lets running answers finish.
//
// Every request passes one guard before any route: Host and Origin, API key, limits on
// headers, body and concurrency. No prompt and no answer is logged.
package gateway
