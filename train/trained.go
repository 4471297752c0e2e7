package train

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"gorgonia.org/tensor"

	"gcnn/model"
	"gcnn/weights"
)

// Trained is a network with its weights and what else their use needs: a weights file of gcnn.
type Trained struct {
	Network       *model.Network
	Weights       map[string]*tensor.Dense // by parameter name, in Keras' layout
	Classes       []string                 // nil: unknown, as for weights from elsewhere
	Normalization model.Normalization
	Data          string // the set that it was trained on, as settings name it
	Epoch         int    // epochs trained
	Version       string // of gcnn
}

// The keys of a weights file's metadata.
const (
	modelKey         = "model"
	classesKey       = "classes"
	normalizationKey = "normalization"
	dataKey          = "data"
	epochKey         = "epoch"
	versionKey       = "gcnn"
)

// normalizationText is a model.Normalization in metadata: (v/255 − mean)/std.
type normalizationText struct {
	Scale float64   `json:"scale"`
	Mean  []float32 `json:"mean,omitempty"`
	Std   []float32 `json:"std,omitempty"`
}

const byteScale = 255

// Write writes a weights file that Python's safetensors reads too: names and layouts are Keras'. Weights that are not finite, which
// ReadTrained would not take, are not written: the error wraps weights.ErrNonFinite.
func (t Trained) Write(path string) error {
	if err := weights.CheckFinite(t.Weights); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	text, err := model.Marshal(t.Network)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	classes, err := json.Marshal(t.Classes)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	norm, err := json.Marshal(normalizationText{byteScale, t.Normalization.Mean, t.Normalization.Std})
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return weights.WriteSafetensors(path, &weights.File{Tensors: t.Weights, Metadata: map[string]string{
		modelKey: string(text), classesKey: string(classes), normalizationKey: string(norm), dataKey: t.Data,
		epochKey: fmt.Sprint(t.Epoch), versionKey: t.Version,
	}})
}

// ReadTrained reads a weights file of gcnn, or that of a run's folder.
func ReadTrained(path string) (Trained, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Trained{}, err
	}
	if info.IsDir() {
		folder := path
		path = filepath.Join(path, WeightsFile)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return Trained{}, fmt.Errorf("%s: it has no %s: not the folder of a run, or its training has not come to the end of an epoch", folder, WeightsFile)
		}
	}
	f, err := weights.ReadFile(path)
	if err != nil {
		return Trained{}, err
	}
	text, ok := f.Metadata[modelKey]
	if !ok {
		return Trained{}, fmt.Errorf("%s: it does not say which network its weights belong to: name it with --model", path)
	}
	net, err := model.Load(path+", model", []byte(text))
	if err != nil {
		return Trained{}, err
	}
	t := Trained{Network: net, Weights: f.Tensors, Data: f.Metadata[dataKey], Version: f.Metadata[versionKey]}
	if err := f.Match(shapes(net)); err != nil {
		return Trained{}, fmt.Errorf("%s: %w", path, err)
	}
	if s := f.Metadata[classesKey]; s != "" {
		if err := json.Unmarshal([]byte(s), &t.Classes); err != nil {
			return Trained{}, fmt.Errorf("%s: %s: %w", path, classesKey, err)
		}
	}
	if t.Normalization, err = normalization(f); err != nil {
		return Trained{}, fmt.Errorf("%s: %w", path, err)
	}
	if s := f.Metadata[epochKey]; s != "" {
		if err := json.Unmarshal([]byte(s), &t.Epoch); err != nil {
			return Trained{}, fmt.Errorf("%s: %s: %w", path, epochKey, err)
		}
	}
	if classes, err := net.Classes(); err == nil && t.Classes != nil && len(t.Classes) != classes {
		return Trained{}, fmt.Errorf("%s: it names %d classes, the network has %d", path, len(t.Classes), classes)
	}
	return t, t.Normalization.Check(net.Input[2])
}

// normalization is what a file's metadata says of it, else v/255.
func normalization(f *weights.File) (model.Normalization, error) {
	s := f.Metadata[normalizationKey]
	if s == "" {
		return model.Normalization{}, nil
	}
	var n normalizationText
	if err := json.Unmarshal([]byte(s), &n); err != nil {
		return model.Normalization{}, fmt.Errorf("%s: %w", normalizationKey, err)
	}
	if n.Scale != byteScale {
		return model.Normalization{}, fmt.Errorf("%s: the scale is %g, want %d", normalizationKey, n.Scale, byteScale)
	}
	return model.Normalization{Mean: n.Mean, Std: n.Std}, nil
}

// ReadWeights reads the weights of a network from a safetensors or NPZ file with these names.
func ReadWeights(path string, net *model.Network) (map[string]*tensor.Dense, error) {
	t, err := ReadTrainedAs(path, net)
	return t.Weights, err
}

// ReadTrainedAs reads the weights of a network, and the normalisation where the file has it, from a safetensors or NPZ file with
// these names. What else a file may say about its network does not matter.
func ReadTrainedAs(path string, net *model.Network) (Trained, error) {
	f, err := weights.ReadFile(path)
	if err != nil {
		return Trained{}, err
	}
	t := Trained{Network: net, Weights: f.Tensors}
	mean, std := f.Tensors[meanArray], f.Tensors[stdArray]
	if mean != nil && std != nil && mean.Dtype() == tensor.Float32 && std.Dtype() == tensor.Float32 && mean.Dims() == 1 && std.Dims() == 1 {
		t.Normalization = model.Normalization{Mean: elements(mean), Std: elements(std)}
		delete(f.Tensors, meanArray)
		delete(f.Tensors, stdArray)
	} else if t.Normalization, err = normalization(f); err != nil {
		return Trained{}, fmt.Errorf("%s: %w", path, err)
	}
	if err := f.Match(shapes(net)); err != nil {
		return Trained{}, fmt.Errorf("%s: %w", path, err)
	}
	if err := t.Normalization.Check(net.Input[2]); err != nil {
		return Trained{}, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// The arrays by which an NPZ file, which has no metadata, says (v/255 − mean)/std.
const (
	meanArray = "normalization/mean"
	stdArray  = "normalization/std"
)

// WriteNPZ writes the weights for numpy, and the normalisation beside them where it is not v/255.
func (t Trained) WriteNPZ(path string) error {
	arrays := maps.Clone(t.Weights)
	if z := t.Normalization; len(z.Mean) > 0 {
		arrays[meanArray] = tensor.New(tensor.WithShape(len(z.Mean)), tensor.WithBacking(z.Mean))
		arrays[stdArray] = tensor.New(tensor.WithShape(len(z.Std)), tensor.WithBacking(z.Std))
	}
	return weights.WriteNPZ(path, arrays)
}

// elements are the numbers of a float32 tensor of one dimension.
func elements(t *tensor.Dense) []float32 {
	switch v := t.Data().(type) {
	case []float32:
		return v
	case float32: // package tensor hands out a single one as a bare number
		return []float32{v}
	}
	return nil
}

func shapes(net *model.Network) map[string]tensor.Shape {
	want := map[string]tensor.Shape{}
	for _, p := range net.Params() {
		want[p.Name] = p.Shape
	}
	return want
}
