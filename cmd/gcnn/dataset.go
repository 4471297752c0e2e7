package main

import (
	"os"
	"strings"

	"gcnn/data"
	"gcnn/data/fashionmnist"
)

const dataUsage = "the embedded " + fashionmnist.Name + ", or a `DIR` with MNIST's four files"

func isEmbedded(name string) bool { return name == fashionmnist.Name }

// openData reads the training and the test set that --data names.
func openData(name string) (train, test *data.Set, err error) {
	if isEmbedded(name) {
		return fashionmnist.Load()
	}
	return data.ReadIDX(name)
}

// openTest reads the test set alone.
func openTest(name string) (*data.Set, error) {
	if isEmbedded(name) {
		return fashionmnist.Test()
	}
	_, test, err := data.ReadIDX(name)
	return test, err
}

// isRun reports whether a name is a run's folder or a weights file rather than a preset or a model file.
func isRun(name string) bool {
	info, err := os.Stat(name)
	return err == nil && (info.IsDir() || strings.HasSuffix(name, ".safetensors"))
}
