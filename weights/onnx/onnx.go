// Package onnx writes networks as ONNX files (https://onnx.ai) and reads networks of gcnn's layers from them.
//
// A file that gcnn writes takes images as they come: uint8 [batch, height, width, channels], any batch. Normalisation and
// softmax are nodes of its graph, so that a runtime needs to know nothing else; class names are in the metadata. Files that
// PyTorch and Keras export for such networks can be read; a node that has no counterpart among gcnn's layers is an error that
// names it.
//
// ONNX's feature maps are [batch, channels, height, width] and its kernels [filters, channels, height, width], where gcnn's are
// channels last, as Keras'. Maps are transposed once behind the input and once before each Flatten, so that a dense kernel keeps
// the order of its rows.
//
// Files come from strangers: nothing is taken on trust, and memory is bounded by a small multiple of the file's size.
package onnx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gcnn/internal/atomicfile"
	"gcnn/model"

	"gorgonia.org/tensor"
)

var (
	// ErrFormat is wrapped by errors about a file that is damaged, or no ONNX file.
	ErrFormat = errors.New("not a valid ONNX file")
	// ErrUnsupported is wrapped by errors about a sound file that holds what gcnn's layers cannot express.
	ErrUnsupported = errors.New("not supported")
)

// NodeError is the error about a node of a graph. It wraps [ErrUnsupported] or [ErrFormat].
type NodeError struct {
	Node string // its name, or that of its first output where it has none
	Op   string // the operator: "Resize"
	Err  error
}

func (e *NodeError) Error() string { return fmt.Sprintf("node %q (%s): %v", e.Node, e.Op, e.Err) }

// Unwrap returns the reason.
func (e *NodeError) Unwrap() error { return e.Err }

// Model is a network with its weights, as an ONNX file holds it.
type Model struct {
	Network       *model.Network
	Weights       map[string]*tensor.Dense // float32 by parameter name, in Keras' layout
	Normalization model.Normalization
	Classes       []string          // names by index; nil where they are unknown
	Metadata      map[string]string // free text, other than the keys that gcnn itself uses
	// Floats makes the input float32 that is not divided by 255, for networks that were trained on a set of floats. Mean and
	// standard deviation of the normalisation apply.
	Floats bool
	// Notes says what reading had to assume, a sentence each. Writing ignores it.
	Notes []string
}

// Options change how a file is read.
type Options struct {
	// Softmax puts a softmax behind a network that ends in logits, and in place of a final log-softmax.
	Softmax bool
	// Normalization replaces what the file says; nil takes that, or [0, 1] where it says nothing.
	Normalization *model.Normalization
}

const (
	inputName  = "images"
	outputName = "probabilities" // of a classifier; other networks have "output"

	maxSize = math.MaxInt32 // protobuf's own bound, with which every ONNX runtime lives
)

// Keys of the metadata.
const (
	modelKey         = "model"         // the network as a model file
	classesKey       = "classes"       // a JSON list of names
	normalizationKey = "normalization" // JSON: (v/scale − mean)/std
)

type normalizationText struct {
	Scale float64   `json:"scale"`
	Mean  []float32 `json:"mean,omitempty"`
	Std   []float32 `json:"std,omitempty"`
}

// WriteFile writes m to the file path, which is whole or absent at any moment.
func WriteFile(path string, m *Model) error {
	b, err := Encode(m)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return atomicfile.Write(path, 0o666, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// Encode returns the bytes of an ONNX file. Equal content gives equal bytes.
func Encode(m *Model) ([]byte, error) {
	graph, err := encodeGraph(m)
	if err != nil {
		return nil, err
	}
	text, err := model.Marshal(m.Network)
	if err != nil {
		return nil, err
	}
	scale := 255.0
	if m.Floats {
		scale = 1
	}
	norm, err := json.Marshal(normalizationText{scale, m.Normalization.Mean, m.Normalization.Std})
	if err != nil {
		return nil, err
	}
	properties := map[string]string{}
	for key, value := range m.Metadata {
		properties[key] = value
	}
	properties[modelKey], properties[normalizationKey] = string(text), string(norm)
	if m.Classes != nil {
		classes, err := json.Marshal(m.Classes)
		if err != nil {
			return nil, err
		}
		properties[classesKey] = string(classes)
	}
	b, err := encodeModel(graph, m.doc(), properties)
	if err == nil && len(b) > maxSize {
		err = fmt.Errorf("the network needs %d bytes, an ONNX file holds at most %d", len(b), maxSize)
	}
	return b, err
}

// doc is the text that viewers show for a file.
func (m *Model) doc() string {
	in := m.Network.Input
	kind := "uint8, values 0 to 255 as images hold them"
	if m.Floats {
		kind = "float32, as the training set held them"
	}
	text := fmt.Sprintf("%s of gcnn. Input %q: %s, [batch, %d, %d, %d] (height, width, channels). Normalisation is part of the graph.",
		m.Network.Name, inputName, kind, in[0], in[1], in[2])
	if classes, err := m.Network.Classes(); err == nil {
		text += fmt.Sprintf(" Output %q: [batch, %d], which sum to 1; the metadata %q names them.", outputName, classes, classesKey)
	}
	return text
}

// ReadFile reads a network from the file path. Weights that lie in files of their own, as PyTorch writes those of large networks,
// are looked for in the file's folder and nowhere else. Errors begin with the path.
func ReadFile(path string, o Options) (*Model, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err // names the path already
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxSize {
		return nil, fmt.Errorf("%s: %w: it is no regular file of at most %d bytes", path, ErrFormat, maxSize)
	}
	b := make([]byte, info.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	folder, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	m, err := decode(b, o, &externalFiles{folder: folder})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// Decode reads a network from the bytes of a file. Weights in other files are refused.
func Decode(b []byte, o Options) (*Model, error) { return decode(b, o, nil) }

func decode(b []byte, o Options, files *externalFiles) (*Model, error) {
	file, err := parseModel(b)
	if err != nil {
		return nil, err
	}
	m := ownFile(file, files)
	if m == nil {
		if m, err = importGraph(file, o, files); err != nil {
			return nil, err
		}
	}
	m.Metadata = map[string]string{}
	for key, value := range file.metadata {
		if key != modelKey && key != classesKey && key != normalizationKey {
			m.Metadata[key] = value
		}
	}
	if text := file.metadata[classesKey]; text != "" {
		// Other programs may mean something else by the key.
		if json.Unmarshal([]byte(text), &m.Classes) != nil {
			m.Classes = nil
		}
		if classes, err := m.Network.Classes(); err != nil || classes != len(m.Classes) {
			m.Classes = nil
		}
	}
	if o.Normalization != nil {
		if err := o.Normalization.Check(m.Network.Input[2]); err != nil {
			return nil, err
		}
		m.Normalization = *o.Normalization
	}
	return m, nil
}

// ownFile returns the network of a file that this version of gcnn wrote, nil for any other. The graph lacks what only training
// needs, such as the rate of Dropout, which the metadata has. That the two agree is shown by writing the network again: the graph
// must come out the same, bit for bit.
func ownFile(file *modelProto, files *externalFiles) *Model {
	var norm normalizationText
	if json.Unmarshal([]byte(file.metadata[normalizationKey]), &norm) != nil {
		return nil
	}
	net, err := model.Load("", []byte(file.metadata[modelKey]))
	if err != nil {
		return nil
	}
	m := &Model{
		Network: net, Weights: map[string]*tensor.Dense{}, Floats: norm.Scale == 1,
		Normalization: model.Normalization{Mean: norm.Mean, Std: norm.Std},
	}
	if m.Normalization.Check(net.Input[2]) != nil {
		return nil
	}
	b := newBuilder(file, Options{}, files)
	for _, node := range net.Nodes {
		for _, p := range node.Params {
			w, err := b.initializer(p.Name)
			if err != nil || w == nil {
				return nil
			}
			if p.Role == model.Kernel && len(p.Shape) == 4 {
				if len(w.dims) != 4 {
					return nil
				}
				if w, err = b.permute(w, []int{2, 3, 1, 0}); err != nil {
					return nil
				}
			}
			if len(w.f) != p.Size() || (len(p.Shape) != 4 && !slices.Equal(w.dims, p.Shape)) {
				return nil
			}
			m.Weights[p.Name] = tensor.New(tensor.WithShape(p.Shape...), tensor.WithBacking(w.f))
		}
	}
	graph, err := encodeGraph(m)
	if err != nil || !bytes.Equal(graph, file.graphBytes) {
		return nil
	}
	return m
}

func formatError(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFormat, fmt.Errorf(format, args...))
}

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrUnsupported, fmt.Errorf(format, args...))
}
