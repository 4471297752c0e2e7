//go:build unix

package cpu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gcnn/cpu/kernel"
	"gcnn/data"
	"gcnn/device"
	"gcnn/model"
)

// TestFileIsCut cuts the file of a set that is used where it lies: training, evaluation and prediction end with an error that names
// it, on every path, and the program goes on to work.
func TestFileIsCut(t *testing.T) {
	t.Parallel()
	net, err := model.New("small", model.Shape{28, 28, 1}, model.Conv2D{Filters: 4, KernelSize: model.Square(3), Activation: model.ReLU},
		model.MaxPool2D{}, model.Flatten{}, model.Dense{Units: 10, Activation: model.Softmax})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range kernel.Available() {
		for _, c := range []struct {
			batch   int
			augment device.Augment
		}{{32, device.Augment{}}, {32, device.Augment{Shift: 2}}, {4, device.Augment{}}, {4, device.Augment{Shift: 2}}} {
			t.Run(fmt.Sprintf("%s batch %d shift %d", path, c.batch, c.augment.Shift), func(t *testing.T) {
				t.Parallel()
				const n = 1000
				set, file := mappedSet(t, n)
				d, err := Open(Options{Workers: 2, SetMemory: 1, Kernels: path})
				if err != nil {
					t.Fatal(err)
				}
				p, err := d.Compile(net, device.Plan{Batch: c.batch, Training: &device.Training{Optimizer: device.SGD{}, Augment: c.augment}})
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				if err := p.SetState(device.State{Weights: net.InitialWeights(1)}); err != nil {
					t.Fatal(err)
				}
				resident, err := p.Load(set)
				if err != nil {
					t.Fatal(err)
				}
				if !resident.Placement().Streamed {
					t.Fatal("the set was copied")
				}
				if err := os.Truncate(file, 16+n*28*28/2); err != nil {
					t.Fatal(err)
				}
				check := func(what string, err error) {
					t.Helper()
					if !errors.Is(err, data.ErrUnreadable) || !strings.Contains(err.Error(), file) {
						t.Errorf("%s: %v, want %v of %s", what, err, data.ErrUnreadable, file)
					}
				}
				epoch := device.Epoch{}
				for i := range int32(n) {
					epoch.Order = append(epoch.Order, i)
				}
				epoch.Rates = make([]float32, (n+c.batch-1)/c.batch)
				m, err := p.Train(t.Context(), resident, epoch)
				check("training", err)
				if m.Count >= n*3/4 || m.Count < n/4 {
					t.Errorf("training ended after %d of %d images, half of which are there", m.Count, n)
				}
				_, err = p.Evaluate(t.Context(), resident)
				check("evaluation", err)
				for _, images := range []*data.Set{set, set.Slice(n-3, n), set.Slice(n-17, n)} {
					_, err = p.Predict(t.Context(), images)
					check(fmt.Sprintf("prediction of %d", images.Len()), err)
				}
				if _, err := p.Predict(t.Context(), set.Slice(0, 100)); err != nil {
					t.Errorf("prediction of what is left: %v", err)
				}
			})
		}
	}
}

// mappedSet is a set of n grey images in a file of its own, which is used where it lies.
func mappedSet(t *testing.T, n int) (*data.Set, string) {
	t.Helper()
	dir := t.TempDir()
	images := append([]byte{0, 0, 8, 3, 0, 0, byte(n >> 8), byte(n), 0, 0, 0, 28, 0, 0, 0, 28}, make([]byte, n*28*28)...)
	labels := append([]byte{0, 0, 8, 1, 0, 0, byte(n >> 8), byte(n)}, make([]byte, n)...)
	for i := range n {
		labels[8+i] = byte(i % 10)
		images[16+i*28*28] = byte(i)
	}
	for _, part := range []string{"train", "t10k"} {
		if err := errors.Join(os.WriteFile(filepath.Join(dir, part+"-images-idx3-ubyte"), images, 0o644),
			os.WriteFile(filepath.Join(dir, part+"-labels-idx1-ubyte"), labels, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	set, _, err := data.IDX{Name: "digits", Files: os.DirFS(dir), Path: dir, InMemory: 1}.Load()
	if err != nil {
		t.Fatal(err)
	}
	return set, filepath.Join(dir, "train-images-idx3-ubyte")
}
