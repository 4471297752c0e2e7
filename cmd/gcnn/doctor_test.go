package main

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gcnn/cpu"
	"gcnn/cpu/kernel"
	"gcnn/device"
	"gcnn/model"
)

// faultyDevice is a device that changes a weight after training.
type faultyDevice struct {
	device.Device
	change func(float32) float32
}

type faultyProgram struct {
	device.Program
	change func(float32) float32
}

func (d faultyDevice) Compile(net *model.Network, plan device.Plan) (device.Program, error) {
	p, err := d.Device.Compile(net, plan)
	return faultyProgram{p, d.change}, err
}

func (p faultyProgram) State() (device.State, error) {
	s, err := p.Program.State()
	if err == nil && s.Step > 0 {
		w := s.Weights["conv2d/kernel"].Data().([]float32)
		w[7] = p.change(w[7])
	}
	return s, err
}

// TestDoctorFindsFaults gives the doctor a processor with two sets of kernels that compute what the portable ones do, but for a fault.
func TestDoctorFindsFaults(t *testing.T) {
	t.Parallel()
	lastBit := func(v float32) float32 { return math.Float32frombits(math.Float32bits(v) ^ 1) }
	onePercent := func(v float32) float32 { return v * 1.01 }
	notANumber := func(float32) float32 { return float32(math.NaN()) }
	broken := errors.New("illegal instruction")
	tests := []struct {
		name   string
		open   func(kernel.Path, int) (func(float32) float32, error)
		failed []string
	}{
		{"none", func(kernel.Path, int) (func(float32) float32, error) { return nil, nil }, nil},
		{"the last bit of a weight", func(p kernel.Path, _ int) (func(float32) float32, error) {
			return map[kernel.Path]func(float32) float32{kernel.AVX2: lastBit}[p], nil
		}, []string{"kernels avx2", "avx512 and avx2"}}, // the rounding of a step leaves no room for a wrong bit
		{"the last bit with more workers", func(p kernel.Path, workers int) (func(float32) float32, error) {
			if p == kernel.AVX512 && workers > 1 {
				return lastBit, nil
			}
			return nil, nil
		}, []string{"kernels avx512"}},
		{"a weight", func(p kernel.Path, _ int) (func(float32) float32, error) {
			return map[kernel.Path]func(float32) float32{kernel.AVX512: onePercent}[p], nil
		}, []string{"kernels avx512", "avx512 and avx2"}},
		{"no number", func(p kernel.Path, _ int) (func(float32) float32, error) {
			return map[kernel.Path]func(float32) float32{kernel.Portable: notANumber}[p], nil
		}, []string{"kernels portable"}},
		{"kernels that do not start", func(p kernel.Path, _ int) (func(float32) float32, error) {
			if p == kernel.AVX512 {
				return nil, broken
			}
			return nil, nil
		}, []string{"kernels avx512"}},
	}
	p, err := newProbe()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			open := func(path kernel.Path, workers int) (device.Device, error) {
				change, err := test.open(path, workers)
				if err != nil {
					return nil, err
				}
				d, err := cpu.Open(cpu.Options{Kernels: kernel.Portable, Workers: workers})
				if change != nil {
					d = faultyDevice{d, change}
				}
				return d, err
			}
			e := examination{Well: true}
			if err := e.kernels(t.Context(), p, []kernel.Path{kernel.AVX512, kernel.AVX2, kernel.Portable}, open); err != nil {
				t.Fatal(err)
			}
			var failed []string
			for _, k := range e.Checks {
				if k.Status == checkFailed {
					failed = append(failed, k.Name)
					if k.Detail == "" || k.Advice == "" {
						t.Errorf("%s fails without a reason or advice", k.Name)
					}
				}
			}
			if diff := cmp.Diff(test.failed, failed); diff != "" {
				t.Errorf("failed: %s\n%+v", diff, e.Checks)
			}
			if e.Well != (len(failed) == 0) {
				t.Errorf("well: %v, with %d failed", e.Well, len(failed))
			}
		})
	}
}

// TestDoctorTrainsRealKernels wants the doctor to look at what it names: each path that it opens is one of this processor.
func TestDoctorTrainsRealKernels(t *testing.T) {
	t.Parallel()
	for _, path := range kernel.Available() {
		d, err := openKernels(path, 1)
		if err != nil {
			t.Fatal(err)
		}
		details := d.Info().Details
		i := slices.IndexFunc(details, func(k device.Detail) bool { return k.Key == "kernels" })
		if i < 0 || !strings.HasPrefix(details[i].Value, string(path)+" of") {
			t.Errorf("%s: the device says %v", path, details)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}
