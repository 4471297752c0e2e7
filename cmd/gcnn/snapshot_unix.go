//go:build unix

package main

import (
	"os"
	"os/signal"
	"syscall"
)

// snapshots returns a channel that asks for a checkpoint at each SIGUSR1, and a function that ends it.
func snapshots() (<-chan struct{}, func()) {
	signals, asked := make(chan os.Signal, 1), make(chan struct{}, 1)
	done := make(chan struct{})
	signal.Notify(signals, syscall.SIGUSR1)
	go func() {
		for {
			select {
			case <-signals:
				select {
				case asked <- struct{}{}:
				default: // one is asked for already
				}
			case <-done:
				return
			}
		}
	}()
	return asked, func() { signal.Stop(signals); close(done) }
}
