//go:build cuda

package cudadl

/*
// lib/ holds empty archives named as gorgonia.org/cu asks for them
#cgo LDFLAGS: -L${SRCDIR}/lib -ldl
#include <stdlib.h>
#include "cudadl.h"
size_t cudnnGetVersion(void);
size_t cudnnGetCudartVersion(void);
int cublasGetProperty(int, int *);
*/
import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"
)

// PathVariable names the environment variable that lists folders to look for libraries in before any other.
const PathVariable = "GCNN_CUDA_PATH"

// Library is a library that was opened.
type Library struct {
	Name    string // "NVIDIA driver", "cuDNN", "cuBLAS"
	Path    string // the file
	Version string // of the driver: the newest CUDA that it serves
}

// Libraries are what [Load] opened.
type Libraries struct {
	Driver, CUDNN, CUBLAS Library
	// CUDA is the major version of CUDA that cuDNN and cuBLAS were built for.
	CUDA int
}

// MissingError says that a library was not found, or that what was found cannot be used.
type MissingError struct {
	Library string    // "NVIDIA driver"
	File    string    // "libcuda.so.1"
	Tried   []Attempt // in order
}

// Attempt is a place where a library was looked for and why it was not taken.
type Attempt struct{ Place, Reason string }

func (e *MissingError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: no usable %s; looked in", e.Library, e.File)
	for i, t := range e.Tried {
		if i > 0 {
			b.WriteByte(';')
		}
		fmt.Fprintf(&b, " %s (%s)", t.Place, t.Reason)
	}
	return b.String()
}

// DriverError is the driver's answer to cuInit.
type DriverError struct {
	Code int
	Name string // CUDA's: "CUDA_ERROR_NO_DEVICE"
	Path string // of the driver
}

func (e *DriverError) Error() string {
	return fmt.Sprintf("NVIDIA driver %s: cuInit: %s (%d)", e.Path, e.Name, e.Code)
}

// MismatchError says that the driver is too old for the CUDA that cuDNN was built for.
type MismatchError struct {
	CUDNN  Library
	CUDA   int // major that cuDNN needs
	Driver Library
}

func (e *MismatchError) Error() string {
	return fmt.Sprintf("cuDNN %s (%s) is built for CUDA %d, the NVIDIA driver (%s) serves CUDA %s at most: install a newer driver, or cuDNN for CUDA %s",
		e.CUDNN.Version, e.CUDNN.Path, e.CUDA, e.Driver.Path, e.Driver.Version, strings.SplitN(e.Driver.Version, ".", 2)[0])
}

// Load opens the driver, cuDNN 9 and cuBLAS and initialises the driver. Only the first call does the work. The error is a
// *MissingError, a *DriverError or a *MismatchError. No other CUDA function may be called before it succeeded.
var Load = sync.OnceValues(load)

func load() (*Libraries, error) {
	l := &Libraries{}
	driver, path, err := open(C.CUDADL_CU, "NVIDIA driver", "libcuda.so.1")
	if err != nil {
		return nil, err
	}
	var version C.int
	var name *C.char
	code := C.cudadl_init(driver, &version, &name)
	l.Driver = Library{"NVIDIA driver", path, fmt.Sprintf("%d.%d", int(version)/1000, int(version)%1000/10)}
	if code != 0 {
		e := &DriverError{Code: int(code), Name: "unknown error", Path: path}
		if name != nil {
			e.Name = C.GoString(name)
		}
		return nil, e
	}
	if _, path, err = open(C.CUDADL_DNN, "cuDNN", "libcudnn.so.9"); err != nil {
		return nil, err
	}
	v := int(C.cudnnGetVersion())
	l.CUDNN = Library{"cuDNN", path, fmt.Sprintf("%d.%d.%d", v/10000, v/100%100, v%100)}
	l.CUDA = int(C.cudnnGetCudartVersion()) / 1000
	// cuBLAS must be of the CUDA major that this cuDNN was built for, which must not be newer than the driver's.
	if l.CUDA > int(version)/1000 {
		return nil, &MismatchError{l.CUDNN, l.CUDA, l.Driver}
	}
	if _, path, err = open(C.CUDADL_BLAS, "cuBLAS", fmt.Sprintf("libcublas.so.%d", l.CUDA)); err != nil {
		return nil, err
	}
	var parts [3]C.int // major, minor, patch; cublasGetVersion would need a handle, and that a context
	for i := range parts {
		C.cublasGetProperty(C.int(i), &parts[i])
	}
	l.CUBLAS = Library{"cuBLAS", path, fmt.Sprintf("%d.%d.%d", parts[0], parts[1], parts[2])}
	return l, nil
}

// places are the folders to look in, in order; "" is the system's own search (LD_LIBRARY_PATH, ld.so.cache).
func places() []string {
	dirs := filepath.SplitList(os.Getenv(PathVariable))
	dirs = append(dirs, "")
	for _, v := range []string{"CUDA_HOME", "CUDA_PATH"} {
		if home := os.Getenv(v); home != "" {
			dirs = append(dirs, filepath.Join(home, "lib64"), filepath.Join(home, "lib"))
		}
	}
	return append(dirs, "/usr/local/cuda/lib64", "/opt/cuda/lib64")
}

// open finds a library and binds its functions.
func open(lib C.int, name, file string) (unsafe.Pointer, string, error) {
	missing := &MissingError{Library: name, File: file}
	for _, dir := range places() {
		place := dir
		if dir == "" {
			place = "the system's library path"
		} else if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			reason := "no such file"
			if !errors.Is(err, os.ErrNotExist) {
				reason = err.Error()
			}
			missing.Tried = append(missing.Tried, Attempt{dir, reason})
			continue
		}
		// cuBLAS needs the cublasLt beside it, which its own search path may not say
		if dir != "" && lib == C.CUDADL_BLAS {
			if lt := filepath.Join(dir, strings.Replace(file, "libcublas", "libcublasLt", 1)); exists(lt) {
				_, _, _ = dlopen(lt) // a failure shows when cuBLAS itself is opened
			}
		}
		handle, path, err := dlopen(filepath.Join(dir, file))
		if err != nil {
			missing.Tried = append(missing.Tried, Attempt{place, err.Error()})
			continue
		}
		var first *C.char
		if n := C.cudadl_bind(lib, handle, &first); n > 0 {
			missing.Tried = append(missing.Tried, Attempt{path, fmt.Sprintf("it lacks %d functions that gcnn needs, %s among them", int(n), C.GoString(first))})
			continue
		}
		return handle, path, nil
	}
	return nil, "", missing
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func dlopen(name string) (unsafe.Pointer, string, error) {
	c := C.CString(name)
	defer C.free(unsafe.Pointer(c))
	var path, why *C.char
	handle := C.cudadl_open(c, &path, &why)
	defer C.free(unsafe.Pointer(path))
	defer C.free(unsafe.Pointer(why))
	if handle == nil {
		return nil, "", errors.New(C.GoString(why))
	}
	if path != nil {
		name = C.GoString(path)
	}
	return handle, name, nil
}
