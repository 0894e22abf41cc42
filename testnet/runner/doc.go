// Package runner starts swarms of real covey processes on loopback, each with a data
// directory of its own, and perturbs them: kill, restart, pause. A Manifest, in TOML, says
// what there is; Swarm is the main type, and Run goes through a whole manifest. Tests, the
// demo and the program testnet drive nodes through it and through their APIs only.
package runner
