//go:build !linux

package idle

import "errors"

// Isolate gives the program a network of its own, which needs Linux.
func Isolate() error { return errors.New("network namespaces need Linux") }
