//go:build amd64 || arm64

package kernel

func flushOn() uint64

func flushRestore(state uint64)
