// Package fashionmnist holds the Fashion-MNIST set: 60,000 training and 10,000 test images of clothing, 28×28, grey,
// in ten classes (https://github.com/zalandoresearch/fashion-mnist).
//
// The embedded files are the official ones, byte for byte. They are under the MIT licence, © 2017 Zalando SE: see
// the file LICENSE beside them.
package fashionmnist

import (
	"embed"

	"gcnn/data"
)

// Name is what users call the set.
const Name = "fashion-mnist"

// License is the notice that must go wherever the images go.
//
//go:embed LICENSE
var License string

//go:embed *.gz
var files embed.FS

var source = data.IDX{
	Name: Name, Path: "embedded " + Name, Files: files,
	Classes: data.FashionMNISTClasses, SHA256: data.FashionMNISTSHA256,
}

// Load unzips both sets and checks the sha256 of the unzipped files. Each call returns memory of its own, 55 MB.
func Load() (train, test *data.Set, err error) { return source.Load() }

// Test is Load for the test set alone, which takes a sixth of the time and memory.
func Test() (*data.Set, error) { return source.Test() }
