// Package workload defines what gcnn and its peers are measured on: networks with their batch, optimiser and set, the same in Go
// as in bench/python/torch_nets.py.
package workload

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"gcnn/bench/internal/peer"
	"gcnn/data"
	"gcnn/data/fashionmnist"
	"gcnn/device"
	"gcnn/model"
)

// Classes of every workload.
const Classes = 10

// Workload is a network with all that its training needs.
type Workload struct {
	Name      string
	Batch     int
	Optimizer device.Optimizer
	Rate      float32
	Images    int // of noise, for networks whose speed alone is asked; 0: Fashion-MNIST
	Size      int // of an image of noise, Size×Size×3
	Trial     int // steps of a timed trial of a setting
	Limit     int // images of an epoch, the first of the set; 0 takes all
}

// Small rates and noise: the networks of 3 channels are measured for speed alone, and nothing blows up.
var all = []Workload{
	{Name: "cnn", Batch: 32, Optimizer: device.NewAdam(), Rate: 1e-3, Trial: 300},
	{Name: "lenet5", Batch: 128, Optimizer: device.SGD{}, Rate: 0.01, Trial: 80},
	{Name: "vgg", Batch: 64, Optimizer: device.SGD{Momentum: 0.9}, Rate: 1e-3, Images: 512, Size: 32, Trial: 2},
	{Name: "vgg-small", Batch: 64, Optimizer: device.SGD{Momentum: 0.9}, Rate: 1e-3, Images: 512, Size: 32, Trial: 2},
	{Name: "resnet9", Batch: 128, Optimizer: device.SGD{Momentum: 0.9}, Rate: 1e-3, Images: 512, Size: 32, Trial: 1},
	{Name: "alexnet", Batch: 32, Optimizer: device.SGD{Momentum: 0.9}, Rate: 1e-3, Images: 128, Size: 227, Trial: 1},
}

// Names lists the workloads.
func Names() []string {
	var names []string
	for _, w := range all {
		names = append(names, w.Name)
	}
	return names
}

// Find returns the workloads of a comma-separated list.
func Find(list string) ([]Workload, error) {
	var found []Workload
next:
	for name := range strings.SplitSeq(list, ",") {
		for _, w := range all {
			if w.Name == name {
				found = append(found, w)
				continue next
			}
		}
		return nil, fmt.Errorf("unknown network %q; there are %s", name, strings.Join(Names(), ", "))
	}
	return found, nil
}

// Network makes the network: a preset, or "vgg", which is vgg-small without its dropout.
func (w Workload) Network() (*model.Network, error) {
	if w.Name != "vgg" {
		return model.Preset(w.Name, nil, Classes)
	}
	small, err := model.Preset("vgg-small", nil, Classes)
	if err != nil {
		return nil, err
	}
	var layers []model.Layer
	for _, n := range small.Nodes {
		if _, dropout := n.Layer.(model.Dropout); !dropout {
			layers = append(layers, n.Layer)
		}
	}
	return model.New(w.Name, small.Input, layers...)
}

// Set is what the network trains on.
func (w Workload) Set() (*data.Set, error) {
	if w.Images == 0 {
		train, _, err := fashionmnist.Load()
		if err != nil || w.Limit == 0 {
			return train, err
		}
		return train.Limit(w.Limit)
	}
	set := &data.Set{
		Name: "noise", Height: w.Size, Width: w.Size, Channels: 3,
		Pixels: make([]uint8, w.Images*w.Size*w.Size*3), Labels: make([]uint16, w.Images), Classes: make([]string, Classes),
	}
	draw := rand.New(rand.NewPCG(1, 1))
	for i := range set.Pixels {
		set.Pixels[i] = uint8(draw.UintN(256))
	}
	for i := range set.Labels {
		set.Labels[i] = uint16(draw.UintN(Classes))
	}
	if w.Limit > 0 {
		return set.Limit(w.Limit)
	}
	return set, nil
}

// Peer is the part of a peer's set-up that says what it trains: the model, its batch and its set.
func (w Workload) Peer(root string) peer.Request {
	r := peer.Request{"model": w.Name, "batch": w.Batch}
	if w.Images == 0 {
		r["data"] = Data(root)
	} else {
		r["images"], r["size"] = w.Images, w.Size
	}
	if w.Limit > 0 {
		r["limit"] = w.Limit
	}
	return r
}

// Data is the folder of the Fashion-MNIST files in the repository.
func Data(root string) string { return filepath.Join(root, "data", "fashionmnist") }

// TrainingFLOPs is the arithmetic of one sample's forward and backward pass that convolutions and dense layers need, at two
// operations a multiply-add: once forward, once for the gradient of trainable kernels, and once for the gradient of a layer's
// input where something trainable lies before it.
func TrainingFLOPs(net *model.Network) int64 {
	flops := int64(0)
	trains := make([]bool, len(net.Nodes)) // the node or one before it has something to train
	for i, node := range net.Nodes {
		kernel := false
		for _, p := range node.Params {
			trains[i] = trains[i] || p.Trainable
			kernel = kernel || p.Trainable && p.Role == model.Kernel
		}
		before := false
		for _, j := range node.Inputs {
			before = before || j != model.Input && trains[j]
		}
		trains[i] = trains[i] || before
		flops += 2 * node.MACs
		if kernel {
			flops += 2 * node.MACs
		}
		if before {
			flops += 2 * node.MACs
		}
	}
	return flops
}
