package cpu

import (
	"context"
	"fmt"
	"math"
	"testing"

	"gcnn/cpu/kernel"
	"gcnn/data"
	"gcnn/device"
	"gcnn/device/devicetest"
	"gcnn/model"
)

// across makes programs whose training steps have channels in the lanes wherever that is possible, whatever takes less time, and whose tasks
// have many parts.
func across(p *program) { p.across, p.grain = hasChannelForm(p.net), 1 }

// acrossInJobs is across with every convolution's products in jobs for all samples.
func acrossInJobs(p *program) {
	across(p)
	p.streamed = 0
}

// TestAcrossConformance runs the whole suite with channels in the lanes of feature maps, on every set of kernels.
func TestAcrossConformance(t *testing.T) {
	for i, path := range kernel.Available() {
		option := across
		if i == 0 {
			option = acrossInJobs
		}
		t.Run(string(path), func(t *testing.T) {
			devicetest.RunAll(t, func(t testing.TB) device.Device {
				d, err := Open(Options{Workers: 2, Kernels: path})
				if err != nil {
					t.Fatal(err)
				}
				d.(*Device).options = []func(*program){option}
				return d
			})
		})
		if RaceDetector {
			break
		}
	}
}

// trainAcross trains a network for an epoch and a bit with channels in the lanes of feature maps and returns what was learnt.
func trainAcross(t *testing.T, k *kernel.Kernels, workers int, net *model.Network, plan device.Plan, set *data.Set, option func(*program)) device.State {
	t.Helper()
	p, err := newProgram(k, workers, net, plan, false, option)
	if err != nil {
		t.Fatal(err)
	}
	p.shut = func() {}
	defer p.Close()
	if !p.across {
		t.Fatalf("%s has no channel form", net.Name)
	}
	if err := p.SetState(device.State{Weights: drawnWeights(net)}); err != nil {
		t.Fatal(err)
	}
	r, err := p.Load(set)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var e device.Epoch
	for i := range set.Len() {
		e.Order = append(e.Order, int32(i))
	}
	for range (set.Len() + plan.Batch - 1) / plan.Batch {
		e.Rates = append(e.Rates, 1e-3)
	}
	for range 2 {
		if _, err := p.Train(context.Background(), r, e); err != nil {
			t.Fatal(err)
		}
	}
	s, err := p.State()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// acrossNets are the networks of TestChannelsHaveTheSameBits that can be trained with channels in the lanes.
func acrossNets(t *testing.T) map[string]*model.Network {
	nets := channelNets(t)
	for name, net := range nets {
		if _, err := net.Classes(); err != nil || !hasChannelForm(net) {
			delete(nets, name)
		}
	}
	return nets
}

// TestAcrossHasTheSameBits trains with any number of workers, either width, with or without fusion and with or without jobs for all samples: the weights are the same. The last
// batch is partial.
func TestAcrossHasTheSameBits(t *testing.T) {
	t.Parallel()
	for name, net := range acrossNets(t) {
		for _, batch := range []int{1, 3, 8, 24} {
			t.Run(fmt.Sprintf("%s/%d", name, batch), func(t *testing.T) {
				t.Parallel()
				set := drawnImages(net, 2*batch+batch/2)
				plan := device.Plan{Batch: batch, Training: &device.Training{Optimizer: device.NewAdam(), Seed: 3}}
				unfused := plan
				unfused.Trace = true
				for _, path := range kernel.Available() {
					k, err := kernel.Open(string(path))
					if err != nil {
						t.Fatal(err)
					}
					want := trainAcross(t, k, 1, net, plan, set, across)
					same := func(what string, got device.State) {
						t.Helper()
						for name, w := range want.Weights {
							g := got.Weights[name].Float32s()
							for i, v := range w.Float32s() {
								if math.Float32bits(v) != math.Float32bits(g[i]) {
									t.Fatalf("%s, %s: %s[%d] is %g, with one worker %g", path, what, name, i, g[i], v)
								}
							}
						}
					}
					for _, workers := range []int{2, 3} {
						same(fmt.Sprintf("%d workers", workers), trainAcross(t, k, workers, net, plan, set, across))
					}
					same("jobs", trainAcross(t, k, 2, net, plan, set, acrossInJobs))
					same("unfused", trainAcross(t, k, 2, net, unfused, set, across))
					if path == kernel.AVX512 {
						narrow, err := kernel.Open(string(kernel.AVX2))
						if err != nil {
							t.Fatal(err)
						}
						same("AVX2", trainAcross(t, narrow, 2, net, plan, set, across))
					}
				}
			})
		}
	}
}

// TestAcrossAllocatesNothing trains an epoch of many steps and of few.
func TestAcrossAllocatesNothing(t *testing.T) {
	net := acrossNets(t)["norms"]
	p, err := newProgram(bestKernels(t), 2, net, device.Plan{Batch: 4, Training: &device.Training{Optimizer: device.SGD{}, Seed: 3}}, false, across)
	if err != nil {
		t.Fatal(err)
	}
	p.shut = func() {}
	defer p.Close()
	set := drawnImages(net, 160)
	r, err := p.Load(set)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	allocs := func(steps int) float64 {
		e := device.Epoch{Rates: make([]float32, steps), Order: make([]int32, 4*steps)}
		return testing.AllocsPerRun(3, func() {
			if _, err := p.Train(context.Background(), r, e); err != nil {
				t.Fatal(err)
			}
		})
	}
	// A worker that falls asleep may make the runtime allocate for it: not once a step.
	if few, many := allocs(2), allocs(40); many-few >= 38 && !RaceDetector {
		t.Errorf("an epoch of 40 steps allocates %g times, one of 2 %g times", many, few)
	}
}

func bestKernels(t *testing.T) *kernel.Kernels {
	t.Helper()
	k, err := kernel.Open("")
	if err != nil {
		t.Fatal(err)
	}
	return k
}
