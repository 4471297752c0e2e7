//go:build cuda

package cudadl

import (
	"testing"

	"gorgonia.org/cu"
	"gorgonia.org/cu/dnn"
)

// A function that gorgonia.org/cu calls and symbols.h lacks is an error of the linker, here first. Before Load, every call
// returns an error and none goes astray.
func TestBindingsLinkAndAreInert(t *testing.T) {
	t.Parallel()
	if _, err := cu.NumDevices(); err == nil {
		t.Error("cuDeviceGetCount succeeded although nothing was loaded")
	}
	if _, err := cudnn.NewTensorDescriptor(cudnn.NHWC, cudnn.Float, []int{1, 2, 3, 4}, nil); err == nil {
		t.Error("cudnnCreateTensorDescriptor succeeded although nothing was loaded")
	}
}
