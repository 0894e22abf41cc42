//go:build !unix

package store

import "io/fs"

// occupied returns the disk space of a file.
func occupied(info fs.FileInfo) int64 { return info.Size() }
