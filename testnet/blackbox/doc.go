// Package blackbox tests swarms of real processes from outside: over their APIs and by
// killing them.
package blackbox
