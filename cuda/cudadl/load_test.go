//go:build cuda

package cudadl

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gcnn/cuda/simulator"
)

// Load works once a process, so each case is a process of its own: this test's binary, which prints what Load did.
const childVariable = "CUDADL_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	libs, err := Load()
	var missing *MissingError
	var driver *DriverError
	var mismatch *MismatchError
	switch {
	case err == nil:
		fmt.Printf("loaded CUDA %d\n%+v\n%+v\n%+v\n", libs.CUDA, libs.Driver, libs.CUDNN, libs.CUBLAS)
	case errors.As(err, &missing):
		fmt.Printf("missing %s\n%v\n", missing.File, err)
	case errors.As(err, &driver):
		fmt.Printf("driver %d\n%v\n", driver.Code, err)
	case errors.As(err, &mismatch):
		fmt.Printf("mismatch %d\n%v\n", mismatch.CUDA, err)
	default:
		fmt.Printf("unknown error\n%v\n", err)
	}
}

// child runs Load in a process with these settings and returns what it printed.
func child(t *testing.T, env ...string) string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), append([]string{childVariable + "=1"}, env...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// library compiles a stand-in that has only the functions given.
func library(t *testing.T, dir, file, source string) {
	t.Helper()
	c := filepath.Join(t.TempDir(), "lib.c")
	if err := os.WriteFile(c, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("cc", "-shared", "-fPIC", "-Wl,-soname,"+file, "-o", filepath.Join(dir, file), c)
	cmd.Env = append(os.Environ(), "LD_PRELOAD=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	got := child(t)
	if !strings.HasPrefix(got, "loaded CUDA 1") {
		t.Fatalf("without a GPU, run this under cuda/simulator/run.sh\n%s", got)
	}
	t.Log(got)
}

func TestLoadErrors(t *testing.T) {
	t.Parallel()
	if !simulator.Active() {
		t.Skip("the machine's own libraries cannot be taken away; run this under cuda/simulator/run.sh")
	}
	real := filepath.SplitList(os.Getenv(PathVariable))[0]
	only := func(files ...string) string {
		dir := t.TempDir()
		for _, f := range files {
			if err := os.Symlink(filepath.Join(real, f), filepath.Join(dir, f)); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	in := func(dir string, more ...string) []string {
		return append([]string{PathVariable + "=" + dir, "LD_LIBRARY_PATH=" + dir, "CUDA_HOME=", "CUDA_PATH="}, more...)
	}
	bare, broken, text := t.TempDir(), t.TempDir(), t.TempDir()
	library(t, bare, "libcuda.so.1", "int cuInit(unsigned f) { return 0; }")
	library(t, broken, "libcuda.so.1", "int cuInit(unsigned f) { return 0; } extern int absent(void); int f(void) { return absent(); }")
	if err := os.WriteFile(filepath.Join(text, "libcuda.so.1"), []byte("not a library"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		env  []string
		want []string
	}{
		"no library":            {in("/nonexistent"), []string{"missing libcuda.so.1", "NVIDIA driver: no usable libcuda.so.1; looked in /nonexistent (no such file); the system's library path (", "/usr/local/cuda/lib64"}},
		"no cuDNN":              {in(only("libcuda.so.1")), []string{"missing libcudnn.so.9", "cuDNN: no usable libcudnn.so.9"}},
		"no cuBLAS":             {in(only("libcuda.so.1", "libcudnn.so.9")), []string{"missing libcublas.so.1", "cuBLAS: no usable"}},
		"no device":             {[]string{"GCNN_SIM_NO_DEVICE=1"}, []string{"driver 100", "cuInit: CUDA_ERROR_NO_DEVICE (100)"}},
		"an old driver":         {[]string{"GCNN_SIM_DRIVER=11080"}, []string{"mismatch 1", "serves CUDA 11.8 at most"}},
		"an incomplete library": {in(bare), []string{"missing libcuda.so.1", "functions that gcnn needs"}},
		"an unusable library":   {in(broken), []string{"missing libcuda.so.1", "absent"}},
		"no library but a text": {in(text), []string{"missing libcuda.so.1", "file too short"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := child(t, c.env...)
			for _, w := range c.want {
				if !strings.Contains(got, w) {
					t.Errorf("it must say %q:\n%s", w, got)
				}
			}
		})
	}
}
