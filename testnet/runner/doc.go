// Package runner starts swarms of real covey processes on loopback, each with a data
// directory of its own, and perturbs them: kill, restart, pause. A Manifest, in TOML, says
// what there is; Swarm is the main type. Tests and the demo drive nodes through it and
// through their control API only.
package runner
