//go:build !cuda

package main

import (
	"fmt"

	"gcnn/device"
)

// errNoCUDA says how to get a build that has what was asked for.
var errNoCUDA = fmt.Errorf("%w: %w: go build -tags cuda ./cmd/gcnn makes one with it", device.ErrUnavailable, errWithoutCUDA)

var cudaBackend = backend{
	name:     "cuda",
	open:     func(choice) (device.Device, error) { return nil, errNoCUDA },
	count:    func() (int, error) { return 0, errNoCUDA },
	describe: func(int) (device.Info, error) { return device.Info{}, errNoCUDA },
}
