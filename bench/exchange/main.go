// Command exchange writes what check.sh compares with other programs: every preset and small networks of every layer, with random
// weights, as files of the exchange formats beside images and gcnn's own outputs for them.
//
//	go run ./bench/exchange DIR
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"gorgonia.org/tensor"

	"gcnn/cpu"
	"gcnn/data"
	"gcnn/device"
	"gcnn/device/reference"
	"gcnn/internal/samplenet"
	"gcnn/model"
	"gcnn/weights"
	"gcnn/weights/keras"
	"gcnn/weights/onnx"
)

func main() {
	name := flag.String("device", "cpu", "what computes gcnn's outputs: cpu or reference")
	flag.Parse()
	if err := run(*name, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "exchange:", err)
		os.Exit(1)
	}
}

func run(name string, args []string) error {
	if len(args) != 1 {
		return errors.New("usage: exchange [-device cpu|reference] DIR")
	}
	var dev device.Device
	switch name {
	case "cpu":
		var err error
		if dev, err = cpu.Open(cpu.Options{}); err != nil {
			return err
		}
	case "reference":
		dev = reference.Open(reference.Options{})
	default:
		return fmt.Errorf("-device is cpu or reference, got %q", name)
	}
	defer dev.Close()
	if err := os.MkdirAll(args[0], 0o777); err != nil {
		return err
	}
	nets, err := samplenet.Layers()
	if err != nil {
		return err
	}
	for _, name := range model.Presets() {
		net, err := model.Preset(name, nil, 10)
		if err != nil {
			return err
		}
		nets = append(nets, net)
	}
	for i, net := range nets {
		if err := write(dev, args[0], net, uint64(i)); err != nil {
			return fmt.Errorf("%s: %w", net.Name, err)
		}
	}
	return nil
}

// write writes a network's files. Every second one has a mean and a standard deviation.
func write(dev device.Device, folder string, net *model.Network, seed uint64) error {
	m := &onnx.Model{Network: net, Weights: samplenet.Weights(net, seed), Classes: samplenet.Classes(net)}
	if seed%2 == 0 {
		m.Normalization = samplenet.Normalization(net.Input[2])
	}
	const samples = 3
	images := samplenet.Images(net, samples, seed)
	output, err := predict(dev, m, images)
	if err != nil {
		return err
	}
	path := filepath.Join(folder, net.Name)
	if err := onnx.WriteFile(path+".onnx", m); err != nil {
		return err
	}
	k, err := keras.FromNetwork(net, m.Weights, m.Normalization, keras.Options{})
	if err != nil {
		return err
	}
	if err := k.WriteFiles(path+".json", path+".npz"); err != nil {
		return err
	}
	return weights.WriteNPZ(path+"-expected.npz", map[string]*tensor.Dense{
		"images": tensor.New(tensor.WithShape(samples, images.Height, images.Width, images.Channels), tensor.WithBacking(images.Pixels)),
		"output": output,
	})
}

func predict(dev device.Device, m *onnx.Model, images *data.Set) (*tensor.Dense, error) {
	p, err := dev.Compile(m.Network, device.Plan{Batch: images.Len(), Normalization: m.Normalization})
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if err := p.SetState(device.State{Weights: m.Weights}); err != nil {
		return nil, err
	}
	return p.Predict(context.Background(), images)
}
