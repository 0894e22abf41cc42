//go:build !unix

package runner

import (
	"errors"
	"os"
)

func interrupt(p *os.Process) error { return p.Kill() }

func pause(*os.Process) error { return errors.ErrUnsupported }

func resume(*os.Process) error { return errors.ErrUnsupported }
