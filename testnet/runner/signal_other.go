//go:build !unix

package runner

import (
	"errors"
	"os"
)

func interrupt(p *os.Process) error { return p.Kill() }

// Pause is not there on this system.
func (p *Process) Pause() error { return errors.ErrUnsupported }

// Resume is not there on this system.
func (p *Process) Resume() error { return errors.ErrUnsupported }
