//go:build !linux

package store_test

// childOfDiskTest does nothing: a small disk can be had on Linux only.
func childOfDiskTest() {}
