// Package catalog knows data sets by name: which one is built in, which ones can be fetched and from where.
package catalog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gcnn/data"
	"gcnn/data/fashionmnist"
)

// Entry is a set that users can name.
type Entry struct {
	Name        string
	Description string
	License     string
	Embedded    bool // part of the program: [Open] needs no files
	source      source
}

// source says where a set's files come from.
type source struct {
	url   string // of the folder that the files are in
	files []file
}

// A file is one download, with what it unpacks to where it is an archive.
type file struct {
	name   string
	size   int64
	sha256 string
	unpack []file // members of a .tar.gz archive, by their base names
}

// Sizes and sums of Fashion-MNIST are the project's own (github.com/zalandoresearch/fashion-mnist). Those of MNIST and
// CIFAR are what TensorFlow Datasets, MLDatasets.jl and TorchVision check against; the archives' authors publish their MD5
// (www.cs.toronto.edu/~kriz/cifar.html: c32a1d4ab5d03f1284b67883e8d87530 and 03b5dce01913d631647c71ecec9e9cb8).
var entries = []Entry{
	{
		Name: fashionmnist.Name, Description: "60,000 + 10,000 images of clothing, 28×28, grey, 10 classes",
		License: "MIT, © 2017 Zalando SE", Embedded: true,
		source: source{"https://storage.googleapis.com/tensorflow/tf-keras-datasets", []file{
			{data.TrainImages + ".gz", 26421880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", nil},
			{data.TrainLabels + ".gz", 29515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", nil},
			{data.TestImages + ".gz", 4422102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", nil},
			{data.TestLabels + ".gz", 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", nil},
		}},
	},
	{
		Name: "mnist", Description: "60,000 + 10,000 handwritten digits, 28×28, grey, 10 classes",
		License: "LeCun, Cortes and Burges; see yann.lecun.com/exdb/mnist",
		source: source{"https://storage.googleapis.com/cvdf-datasets/mnist", []file{
			{data.TrainImages + ".gz", 9912422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", nil},
			{data.TrainLabels + ".gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", nil},
			{data.TestImages + ".gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", nil},
			{data.TestLabels + ".gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", nil},
		}},
	},
	{
		Name: "cifar10", Description: "50,000 + 10,000 photographs, 32×32, RGB, 10 classes",
		License: "none stated; see www.cs.toronto.edu/~kriz/cifar.html",
		source: source{"https://www.cs.toronto.edu/~kriz", []file{
			{"cifar-10-binary.tar.gz", 170052171, "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", []file{
				{"data_batch_1.bin", 30730000, "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5", nil},
				{"data_batch_2.bin", 30730000, "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed", nil},
				{"data_batch_3.bin", 30730000, "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67", nil},
				{"data_batch_4.bin", 30730000, "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48", nil},
				{"data_batch_5.bin", 30730000, "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add", nil},
				{"test_batch.bin", 30730000, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b", nil},
			}},
		}},
	},
	{
		Name: "cifar100", Description: "50,000 + 10,000 photographs, 32×32, RGB, 100 classes",
		License: "none stated; see www.cs.toronto.edu/~kriz/cifar.html",
		source: source{"https://www.cs.toronto.edu/~kriz", []file{
			{"cifar-100-binary.tar.gz", 168513733, "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec", []file{
				{"train.bin", 153700000, "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29", nil},
				{"test.bin", 30740000, "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a", nil},
			}},
		}},
	},
}

// List returns the sets that have names.
func List() []Entry { return append([]Entry(nil), entries...) }

// Size returns the bytes that fetching a set downloads.
func (e Entry) Size() int64 {
	total := int64(0)
	for _, f := range e.source.files {
		total += f.size
	}
	return total
}

// find returns the entry of a name, or an error that lists the names.
func find(name string) (Entry, error) {
	var names []string
	for _, e := range entries {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	return Entry{}, fmt.Errorf("%q: %w, expected one of %s", name, data.ErrUnknown, strings.Join(names, ", "))
}

// Open reads the set of a name or of a path, as [data.Open] does; a name goes first, so write ./mnist for a folder
// of that name. A set that is neither built in nor on disk wraps [data.ErrUnknown] and says how to fetch it.
func Open(source string, pictures data.Folder) (train, test *data.Set, err error) {
	e, notNamed := find(source)
	switch {
	case notNamed == nil && e.Embedded:
		return fashionmnist.Load()
	case notNamed == nil:
		return nil, nil, fmt.Errorf("%s: %w: it is not built in; \"gcnn data fetch %[1]s --dir DIR\" downloads it, and DIR then names it", e.Name, data.ErrUnknown)
	}
	train, test, err = data.Open(source, pictures)
	if base := filepath.Base(source); errors.Is(err, fs.ErrNotExist) && !strings.Contains(base, ".") {
		if _, missing := os.Stat(source); missing != nil { // it may be a mistyped name
			_, notNamed := find(base)
			return nil, nil, fmt.Errorf("%w; %w", err, notNamed)
		}
	}
	return train, test, err
}
