//go:build !unix

package main

// snapshots has no signal to listen for on this system.
func snapshots() (<-chan struct{}, func()) { return nil, func() {} }
