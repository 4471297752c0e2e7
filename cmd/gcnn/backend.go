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
	"gcnn/train"
)

// backend is a kind of device. Which kinds there are is fixed; whether this build can use them is not.
type backend struct {
	name     string
	open     func(choice) (device.Device, error)
	count    func() (int, error)                  // devices there are; an error that wraps device.ErrUnavailable says why there is none
	describe func(index int) (device.Info, error) // a device that is not opened
}

// choice is what can be chosen of a device.
type choice struct {
	index     int    // of the GPU
	workers   int    // of the CPU; 0: one for each core
	precision string // of convolutions and dense layers: float32 or tf32
	setMemory int    // MiB of the device's memory that sets may take; 0: what is free
}

// backends in the order in which auto tries them.
func backends() []backend {
	return []backend{
		cudaBackend,
		onHost("cpu", func(c choice) (device.Device, error) {
			return cpu.Open(cpu.Options{Workers: c.workers, SetMemory: c.setBytes()})
		}),
		onHost("reference", func(choice) (device.Device, error) { return reference.Open(reference.Options{}), nil }),
	}
}

// onHost is a backend of one device, which costs nothing to open.
func onHost(name string, open func(choice) (device.Device, error)) backend {
	return backend{name, open, func() (int, error) { return 1, nil }, func(int) (device.Info, error) {
		d, err := open(choice{precision: train.Float32})
		if err != nil {
			return device.Info{}, err
		}
		return d.Info(), d.Close()
	}}
}

// errWithoutCUDA is wrapped where a build cannot use a GPU.
var errWithoutCUDA = errors.New("this build is without CUDA")

const deviceUsage = "cpu, cuda, cuda:N, auto (CUDA where there is a GPU, else the CPU) or reference (float64, very slow)"

const (
	setMemoryUsage   = "the most `MIB` of the device's memory that sets take; larger ones are streamed"
	setMemoryDefault = "what is free of a GPU's, a quarter of the CPU's"
)

// bytes of the memory of sets.
func (c choice) setBytes() int64 { return int64(c.setMemory) << 20 }

const precisionUsage = "float32, or tf32 for faster and less exact products on a GPU"

const exactUsage = "no algorithm that transforms a convolution (Winograd's), and on a GPU too the first of equal maxima takes a max pool's gradient; slower"

var deviceFlags = []cli.Flag{
	&cli.StringFlag{Name: "device", Value: "auto", Usage: deviceUsage, EnvVars: []string{"GCNN_DEVICE"}},
	&cli.StringFlag{Name: "precision", Value: train.Float32, Usage: precisionUsage, EnvVars: []string{"GCNN_PRECISION"}},
	&cli.IntFlag{Name: "set-memory", DefaultText: setMemoryDefault, Usage: setMemoryUsage, EnvVars: []string{"GCNN_SET_MEMORY"}},
	&cli.IntFlag{Name: "workers", DefaultText: "one for each core", Usage: "CPU threads; the results are the same for any `N`", EnvVars: []string{"GCNN_WORKERS"}},
}

// openDevice opens the device that --device names. It never takes another one instead; of auto it says what it took and why.
func openDevice(name string, c choice) (d device.Device, why string, err error) {
	if name == "auto" {
		n, err := cudaBackend.count()
		switch {
		case err == nil && n > 0:
			d, err := cudaBackend.open(c)
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
	if numbered {
		if c.index, err = strconv.Atoi(number); err != nil || c.index < 0 || kind != cudaBackend.name {
			return nil, "", usagef("--device is %s, got %q", deviceUsage, name)
		}
	}
	if c.precision != train.Float32 && kind != cudaBackend.name {
		return nil, "", usagef("--precision %s belongs to --device cuda, got --device %s", c.precision, name)
	}
	for _, b := range backends() {
		if b.name != kind {
			continue
		}
		if d, err = b.open(c); err != nil {
			return nil, "", fmt.Errorf("device %s: %w", name, err)
		}
		return d, why, nil
	}
	return nil, "", usagef("--device is %s, got %q", deviceUsage, name)
}

// chosen reads the flags of a command with deviceFlags.
func chosen(c *cli.Context) (name string, options choice) {
	return c.String("device"), choice{workers: c.Int("workers"), precision: c.String("precision"), setMemory: c.Int("set-memory")}
}
