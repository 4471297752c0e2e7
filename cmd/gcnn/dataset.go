package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"gcnn/data"
	"gcnn/data/catalog"
	"gcnn/data/fashionmnist"
	"gcnn/model"
)

const dataUsage = "the embedded " + fashionmnist.Name + ", a `DIR` of IDX files, CIFAR's binary files or class folders of pictures, or an .npz file"

// isNamed reports whether --data is a name rather than a path.
func isNamed(name string) bool {
	return slices.ContainsFunc(catalog.List(), func(e catalog.Entry) bool { return e.Name == name })
}

// pictures says how a folder of pictures is read: as images of a shape, through the user's cache.
func pictures(shape model.Shape, skipBad bool, warnings io.Writer) data.Folder {
	f := data.Folder{
		Height: shape[0], Width: shape[1], Channels: shape[2], SkipBad: skipBad,
		Warn: func(err error) { fmt.Fprintf(warnings, "gcnn: %v\n", err) },
	}
	if cache, err := data.DefaultCache(); err == nil { // without a folder for it there is none
		f.Cache = cache
	}
	return f
}

// openSplit reads the training or the test set.
func openSplit(name, split string, pictures data.Folder) (*data.Set, error) {
	if split != "test" && split != "train" {
		return nil, usagef("--split is test or train, got %q", split)
	}
	if name == fashionmnist.Name && split == "test" {
		return fashionmnist.Test()
	}
	train, test, err := catalog.Open(name, pictures)
	switch {
	case err != nil:
		return nil, err
	case split == "train":
		return train, nil
	case test == nil:
		return nil, fmt.Errorf("%s: it has no test set; --split train takes the training set", name)
	}
	return test, nil
}

// isRun reports whether a name is a run's folder or a weights file rather than a preset or a model file.
func isRun(name string) bool {
	info, err := os.Stat(name)
	return err == nil && (info.IsDir() || strings.HasSuffix(name, ".safetensors"))
}
