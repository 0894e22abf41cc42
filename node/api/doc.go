// Package api is the control interface of a node as its command line sees it: the JSON
// types under /covey/v1/ and a Client for them. The server side is package node. A Client
// is safe for concurrent use.
package api
