package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"gcnn/cpu"
	"gcnn/device"
	"gcnn/device/reference"
)

// backend is a kind of device. Which kinds there are is fixed; whether this build can use them is not.
type backend struct {
	name  string
	open  func(index, workers int) (device.Device, error)
	count func() (int, error) // devices there are; an error that wraps device.ErrUnavailable says why there is none
}

// backends in the order in which auto tries them.
func backends() []backend {
	return []backend{
		cudaBackend,
		{"cpu", func(_, workers int) (device.Device, error) { return cpu.Open(cpu.Options{Workers: workers}) }, one},
		{"reference", func(int, int) (device.Device, error) { return reference.Open(reference.Options{}), nil }, one},
	}
}

func one() (int, error) { return 1, nil }

// errWithoutCUDA is wrapped where a build cannot use a GPU.
var errWithoutCUDA = errors.New("this build is without CUDA")

const deviceUsage = "cpu, cuda, cuda:N, auto (CUDA where there is a GPU, else the CPU) or reference (float64, very slow)"

var deviceFlags = []cli.Flag{
	&cli.StringFlag{Name: "device", Value: "auto", Usage: deviceUsage, EnvVars: []string{"GCNN_DEVICE"}},
	&cli.IntFlag{Name: "workers", DefaultText: "one for each core", Usage: "CPU threads; the results are the same for any `N`", EnvVars: []string{"GCNN_WORKERS"}},
}

// openDevice opens the device that --device names. It never takes another one instead; of auto it says what it took and why.
func openDevice(name string, workers int) (d device.Device, why string, err error) {
	if name == "auto" {
		n, err := cudaBackend.count()
		switch {
		case err == nil && n > 0:
			d, err := cudaBackend.open(0, workers)
			if err == nil {
				return d, "auto: there is a GPU", nil
			}
			why = fmt.Sprintf("auto: the GPU cannot be used: %v", err)
		case errors.Is(err, errWithoutCUDA):
			why = "auto: " + errWithoutCUDA.Error()
		case err != nil:
			why = fmt.Sprintf("auto: no GPU: %v", err)
		default:
			why = "auto: there is no GPU"
		}
		name = "cpu"
	}
	kind, number, numbered := strings.Cut(name, ":")
	index := 0
	if numbered {
		if index, err = strconv.Atoi(number); err != nil || index < 0 || kind != cudaBackend.name {
			return nil, "", usagef("--device is %s, got %q", deviceUsage, name)
		}
	}
	for _, b := range backends() {
		if b.name != kind {
			continue
		}
		if d, err = b.open(index, workers); err != nil {
			return nil, "", fmt.Errorf("device %s: %w", name, err)
		}
		return d, why, nil
	}
	return nil, "", usagef("--device is %s, got %q", deviceUsage, name)
}
