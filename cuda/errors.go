//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	cudnn "gorgonia.org/cu/dnn"

	"gcnn/device"
)

// Error is a failed call of one of CUDA's libraries.
type Error struct {
	Call string // "cudnnConvolutionForward"
	Args string // shapes and sizes, or empty
	Name string // CUDA's own: "CUDA_ERROR_OUT_OF_MEMORY"
	Code int
	kind error // device.ErrMemory, device.ErrLost, or nil
}

// Error says which call failed, with what arguments, and why.
func (e *Error) Error() string {
	s := e.Call
	if e.Args != "" {
		s += "(" + e.Args + ")"
	}
	s += fmt.Sprintf(": %s (%d)", e.Name, e.Code)
	if e.kind != nil {
		s = e.kind.Error() + ": " + s
	}
	return s
}

// Unwrap is device.ErrMemory or device.ErrLost where the failure is one of these.
func (e *Error) Unwrap() error { return e.kind }

// statusOf is the code behind an error of gorgonia.org/cu, whose error type has no name outside it.
func statusOf(err error) status {
	if err == nil {
		return status{}
	}
	s := status{library: driver, code: -1}
	var d cudnn.Status
	if errors.As(err, &d) {
		return status{dnn, int(d)}
	}
	for e := err; e != nil; e = errors.Unwrap(e) {
		if v := reflect.ValueOf(e); v.Kind() == reflect.Int {
			s.code = int(v.Int())
			return s
		}
	}
	return s
}

// Codes of the driver that say the device or its context is gone for good.
var sticky = map[int]bool{
	214: true, // CUDA_ERROR_ECC_UNCORRECTABLE
	220: true, // CUDA_ERROR_NVLINK_UNCORRECTABLE
	700: true, // CUDA_ERROR_ILLEGAL_ADDRESS
	702: true, // CUDA_ERROR_LAUNCH_TIMEOUT
	709: true, // CUDA_ERROR_CONTEXT_IS_DESTROYED
	710: true, // CUDA_ERROR_ASSERT
	714: true, // CUDA_ERROR_HARDWARE_STACK_ERROR
	715: true, // CUDA_ERROR_ILLEGAL_INSTRUCTION
	716: true, // CUDA_ERROR_MISALIGNED_ADDRESS
	717: true, // CUDA_ERROR_INVALID_ADDRESS_SPACE
	718: true, // CUDA_ERROR_INVALID_PC
	719: true, // CUDA_ERROR_LAUNCH_FAILED
	721: true, // CUDA_ERROR_CONTAINED
	723: true, // CUDA_ERROR_TENSOR_MEMORY
	999: true, // CUDA_ERROR_UNKNOWN
}

const (
	codeOutOfMemory = 2   // CUDA_ERROR_OUT_OF_MEMORY
	codeNotReady    = 600 // CUDA_ERROR_NOT_READY
	codeBLASAlloc   = 3   // CUBLAS_STATUS_ALLOC_FAILED
)

// check makes an error of a call's status: nil where it succeeded. An error that is for good is kept, so that everything after
// it says so. It runs on the device's thread.
func (d *Device) check(call string, s status, args ...any) error {
	if s.code == 0 {
		return nil
	}
	e := &Error{Call: call, Args: describe(args), Name: s.name(), Code: s.code}
	if e.Name == "" {
		e.Name = "unknown error"
	}
	switch {
	case s.library == driver && s.code == codeOutOfMemory, s.library == blas && s.code == codeBLASAlloc:
		e.kind = device.ErrMemory
	case s.library == driver && sticky[s.code]:
		e.kind = device.ErrLost
	case s.library != driver:
		// The libraries hide the driver's error behind one of their own; a stream that is asked tells.
		if q := statusOf(d.stream.Query()); sticky[q.code] {
			e.kind = device.ErrLost
			e.Name += ", " + q.name()
		}
	}
	if errors.Is(e.kind, device.ErrLost) && d.lost == nil {
		d.lost = e
	}
	return e
}

// ok is check for the errors of gorgonia.org/cu.
func (d *Device) ok(call string, err error, args ...any) error {
	if err == nil {
		return nil
	}
	return d.check(call, statusOf(err), args...)
}

// describe writes arguments as "x 32×28×28×1, w 8×3×3×1".
func describe(args []any) string {
	var parts []string
	for i := 0; i+1 < len(args); i += 2 {
		parts = append(parts, fmt.Sprintf("%v %v", args[i], args[i+1]))
	}
	return strings.Join(parts, ", ")
}
