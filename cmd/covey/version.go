package main

import (
	"fmt"
	"io"
	"runtime"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/protocol"
)

func printVersion(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, map[string]any{
			"version": programVersion(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "cpu": kernel.Current().String(), "capability": protocol.Capability,
		})
	}
	_, err := fmt.Fprintf(w, "covey %s (%s, %s/%s, %s, capability %d)\n", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH, kernel.Current(), protocol.Capability)
	return err
}
