//go:build cuda

package cuda

// What gorgonia.org/cu lacks: stream capture and graphs, pinned memory, cuBLAS on device pointers, the stream of cuDNN's handle,
// its heuristics, names of errors, and an end for descriptors that does not wait for the garbage collector.

/*
#include <stdlib.h>
#include <cuda.h>
#include <cudnn.h>
#include <cublas_v2.h>

static CUresult gcnn_capture_begin(void *s) { return cuStreamBeginCapture((CUstream)s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL); }
// What a call that makes something returns.
typedef struct { int code; void *made; unsigned long long device; } gcnn_made;
static gcnn_made gcnn_capture_end(void *s) {
  CUgraph g = NULL;
  int r = cuStreamEndCapture((CUstream)s, &g);
  return (gcnn_made){r, g, 0};
}
static gcnn_made gcnn_graph_instantiate(void *graph) {
  CUgraphExec e = NULL;
  int r = cuGraphInstantiateWithFlags(&e, (CUgraph)graph, 0);
  return (gcnn_made){r, e, 0};
}
static CUresult gcnn_graph_nodes(void *graph, size_t *n) { return cuGraphGetNodes((CUgraph)graph, NULL, n); }
static CUresult gcnn_graph_destroy(void *graph) { return cuGraphDestroy((CUgraph)graph); }
static CUresult gcnn_exec_destroy(void *exec) { return cuGraphExecDestroy((CUgraphExec)exec); }
static CUresult gcnn_exec_launch(void *exec, void *s) { return cuGraphLaunch((CUgraphExec)exec, (CUstream)s); }
static const char *gcnn_cu_name(int code) {
  const char *name = NULL;
  return cuGetErrorName((CUresult)code, &name) == CUDA_SUCCESS && name ? name : "";
}

static gcnn_made gcnn_pin(size_t n) {
  gcnn_made m = {0, NULL, 0};
  CUdeviceptr p = 0;
  if ((m.code = cuMemHostAlloc(&m.made, n, CU_MEMHOSTALLOC_DEVICEMAP))) return (gcnn_made){m.code, NULL, 0};
  if ((m.code = cuMemHostGetDevicePointer(&p, m.made, 0))) {
    cuMemFreeHost(m.made);
    m.made = NULL;
  }
  m.device = p;
  return m;
}
static CUresult gcnn_unpin(void *host) { return cuMemFreeHost(host); }

static gcnn_made gcnn_blas_create(void *s, unsigned long long space, size_t bytes, int tf32) {
  cublasHandle_t h = NULL;
  int r = cublasCreate(&h);
  if (r) return (gcnn_made){r, NULL, 0};
  r = cublasSetStream(h, (cudaStream_t)s);
  if (!r) r = cublasSetWorkspace(h, (void *)space, bytes);
  if (!r) r = cublasSetPointerMode(h, CUBLAS_POINTER_MODE_HOST);
  if (!r) r = cublasSetMathMode(h, tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH);
  return (gcnn_made){r, h, 0};
}
static int gcnn_blas_destroy(void *h) { return cublasDestroy((cublasHandle_t)h); }
static const char *gcnn_blas_name(int code) { return cublasGetStatusName((cublasStatus_t)code); }
static int gcnn_sgemm(void *h, int ta, int tb, int m, int n, int k, unsigned long long a, int lda, unsigned long long b, int ldb, unsigned long long c, int ldc) {
  float one = 1, zero = 0;
  return cublasSgemm((cublasHandle_t)h, ta ? CUBLAS_OP_T : CUBLAS_OP_N, tb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k, &one, (const float *)a, lda,
                     (const float *)b, ldb, &zero, (float *)c, ldc);
}

static int gcnn_dnn_create(void **h, void *s) {
  int r = cudnnCreate((cudnnHandle_t *)h);
  if (r) { *h = NULL; return r; }
  return cudnnSetStream((cudnnHandle_t)*h, (cudaStream_t)s);
}
static const char *gcnn_dnn_name(int code) { return cudnnGetErrorString((cudnnStatus_t)code); }
static int gcnn_tensor_destroy(void *d) { return cudnnDestroyTensorDescriptor((cudnnTensorDescriptor_t)d); }
static int gcnn_filter_destroy(void *d) { return cudnnDestroyFilterDescriptor((cudnnFilterDescriptor_t)d); }
static int gcnn_pooling_destroy(void *d) { return cudnnDestroyPoolingDescriptor((cudnnPoolingDescriptor_t)d); }
static int gcnn_activation_destroy(void *d) { return cudnnDestroyActivationDescriptor((cudnnActivationDescriptor_t)d); }
static int gcnn_convolution_destroy(void *d) { return cudnnDestroyConvolutionDescriptor((cudnnConvolutionDescriptor_t)d); }

typedef struct { int algo, status, determinism, math; size_t memory; } gcnn_choice;
enum { GCNN_CHOICES = 16 };
#define GCNN_COPY(perf) for (int i = 0; i < n; i++) out[i] = (gcnn_choice){perf[i].algo, perf[i].status, perf[i].determinism, perf[i].mathType, perf[i].memory}
static int gcnn_choose_forward(void *h, void *x, void *w, void *c, void *y, int *count, gcnn_choice *out) {
  cudnnConvolutionFwdAlgoPerf_t perf[GCNN_CHOICES];
  int n = 0, r = cudnnGetConvolutionForwardAlgorithm_v7(h, x, w, c, y, GCNN_CHOICES, &n, perf);
  GCNN_COPY(perf);
  *count = n;
  return r;
}
static int gcnn_choose_data(void *h, void *w, void *dy, void *c, void *dx, int *count, gcnn_choice *out) {
  cudnnConvolutionBwdDataAlgoPerf_t perf[GCNN_CHOICES];
  int n = 0, r = cudnnGetConvolutionBackwardDataAlgorithm_v7(h, w, dy, c, dx, GCNN_CHOICES, &n, perf);
  GCNN_COPY(perf);
  *count = n;
  return r;
}
static int gcnn_choose_filter(void *h, void *x, void *dy, void *c, void *dw, int *count, gcnn_choice *out) {
  cudnnConvolutionBwdFilterAlgoPerf_t perf[GCNN_CHOICES];
  int n = 0, r = cudnnGetConvolutionBackwardFilterAlgorithm_v7(h, x, dy, c, dw, GCNN_CHOICES, &n, perf);
  GCNN_COPY(perf);
  *count = n;
  return r;
}
// The heuristics' memory is an estimate: this is what the call will ask for.
static int gcnn_space_forward(void *h, void *x, void *w, void *c, void *y, int algo, size_t *n) { return cudnnGetConvolutionForwardWorkspaceSize(h, x, w, c, y, (cudnnConvolutionFwdAlgo_t)algo, n); }
static int gcnn_space_data(void *h, void *w, void *dy, void *c, void *dx, int algo, size_t *n) { return cudnnGetConvolutionBackwardDataWorkspaceSize(h, w, dy, c, dx, (cudnnConvolutionBwdDataAlgo_t)algo, n); }
static int gcnn_space_filter(void *h, void *x, void *dy, void *c, void *dw, int algo, size_t *n) { return cudnnGetConvolutionBackwardFilterWorkspaceSize(h, x, dy, c, dw, (cudnnConvolutionBwdFilterAlgo_t)algo, n); }
*/
import "C"

import (
	"runtime"
	"unsafe"

	"gorgonia.org/cu"
	cudnn "gorgonia.org/cu/dnn"
)

// first is the C handle that is the first field of gorgonia.org/cu's structs.
func first[T any](object *T) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(object)) }

// status is the code of a call of one of the libraries.
type status struct {
	library library
	code    int
}

type library uint8

const (
	driver library = iota
	dnn
	blas
)

// name is the library's own name of the code.
func (s status) name() string {
	switch s.library {
	case driver:
		return C.GoString(C.gcnn_cu_name(C.int(s.code)))
	case dnn:
		return C.GoString(C.gcnn_dnn_name(C.int(s.code)))
	case blas:
		return C.GoString(C.gcnn_blas_name(C.int(s.code)))
	}
	return ""
}

// graph is a captured graph that was made ready to launch.
type graph struct {
	exec  unsafe.Pointer
	nodes int
}

func beginCapture(s *cu.Stream) status { return status{driver, int(C.gcnn_capture_begin(first(s)))} }

// endCapture makes what was captured ready to launch.
func endCapture(s *cu.Stream) (graph, string, status) {
	captured := C.gcnn_capture_end(first(s))
	if captured.code != 0 {
		return graph{}, "cuStreamEndCapture", status{driver, int(captured.code)}
	}
	var n C.size_t
	code, call := C.int(C.gcnn_graph_nodes(captured.made, &n)), "cuGraphGetNodes"
	g := graph{nodes: int(n)}
	if code == 0 {
		made := C.gcnn_graph_instantiate(captured.made)
		g.exec, code, call = made.made, made.code, "cuGraphInstantiate"
	}
	if d := C.gcnn_graph_destroy(captured.made); code == 0 && d != 0 {
		code, call = C.int(d), "cuGraphDestroy"
	}
	return g, call, status{driver, int(code)}
}

func (g graph) launch(s *cu.Stream) status {
	return status{driver, int(C.gcnn_exec_launch(g.exec, first(s)))}
}

func (g graph) destroy() status { return status{driver, int(C.gcnn_exec_destroy(g.exec))} }

// pinned is memory of the host that the device can write to.
type pinned struct {
	host   unsafe.Pointer
	device uint64
}

func pin(bytes int) (pinned, status) {
	made := C.gcnn_pin(C.size_t(bytes))
	return pinned{made.made, uint64(made.device)}, status{driver, int(made.code)}
}

func (p pinned) free() status { return status{driver, int(C.gcnn_unpin(p.host))} }

// blasHandle is cuBLAS' handle.
type blasHandle struct{ h unsafe.Pointer }

func newBLAS(s *cu.Stream, space cu.DevicePtr, bytes int64, tf32 bool) (blasHandle, status) {
	wanted := C.int(0)
	if tf32 {
		wanted = 1
	}
	made := C.gcnn_blas_create(first(s), C.ulonglong(space), C.size_t(bytes), wanted)
	return blasHandle{made.made}, status{blas, int(made.code)}
}

func (b blasHandle) destroy() status { return status{blas, int(C.gcnn_blas_destroy(b.h))} }

// sgemm is cublasSgemm, column-major: c = op(a)·op(b).
func (b blasHandle) sgemm(ta, tb bool, m, n, k int, a uint64, lda int, bb uint64, ldb int, c uint64, ldc int) status {
	flag := func(v bool) C.int {
		if v {
			return 1
		}
		return 0
	}
	return status{blas, int(C.gcnn_sgemm(b.h, flag(ta), flag(tb), C.int(m), C.int(n), C.int(k),
		C.ulonglong(a), C.int(lda), C.ulonglong(bb), C.int(ldb), C.ulonglong(c), C.int(ldc)))}
}

// newDNN makes cuDNN's handle. The binding's own constructor panics where cuDNN refuses, so the handle is put into its struct.
func newDNN(s *cu.Stream) (*cudnn.Context, status) {
	ctx := &cudnn.Context{}
	r := C.gcnn_dnn_create((*unsafe.Pointer)(unsafe.Pointer(ctx)), first(s))
	return ctx, status{dnn, int(r)}
}

// descriptor is something of cuDNN's that has to be destroyed.
type descriptor interface{ destroy() status }

type tensorDescriptor struct{ *cudnn.TensorDescriptor }
type filterDescriptor struct{ *cudnn.Filter }
type convolutionDescriptor struct{ *cudnn.Convolution }
type poolingDescriptor struct{ *cudnn.Pooling }
type activationDescriptor struct{ *cudnn.Activation }

func (d tensorDescriptor) destroy() status {
	runtime.SetFinalizer(d.TensorDescriptor, nil)
	return status{dnn, int(C.gcnn_tensor_destroy(first(d.TensorDescriptor)))}
}

func (d filterDescriptor) destroy() status {
	return status{dnn, int(C.gcnn_filter_destroy(first(d.Filter)))}
}

func (d convolutionDescriptor) destroy() status {
	runtime.SetFinalizer(d.Convolution, nil)
	return status{dnn, int(C.gcnn_convolution_destroy(first(d.Convolution)))}
}

func (d poolingDescriptor) destroy() status {
	runtime.SetFinalizer(d.Pooling, nil)
	return status{dnn, int(C.gcnn_pooling_destroy(first(d.Pooling)))}
}

func (d activationDescriptor) destroy() status {
	runtime.SetFinalizer(d.Activation, nil)
	return status{dnn, int(C.gcnn_activation_destroy(first(d.Activation)))}
}

// choice is an algorithm that cuDNN's heuristics propose.
type choice struct {
	algo          int
	deterministic bool
	supported     bool
	math          int
	space         int64 // bytes of workspace
}

// direction is one of the three computations of a convolution.
type direction uint8

const (
	forward direction = iota
	backwardData
	backwardFilter
)

// choices are the heuristics' algorithms, the best first. a and b are the descriptors in the order of the call: x and w, w and
// dy, or x and dy; out is that of the result.
func choices(ctx *cudnn.Context, d direction, a, b, conv, out unsafe.Pointer) ([]choice, status) {
	var perf [C.GCNN_CHOICES]C.gcnn_choice
	var n C.int
	h := first(ctx)
	var r C.int
	switch d {
	case forward:
		r = C.gcnn_choose_forward(h, a, b, conv, out, &n, &perf[0])
	case backwardData:
		r = C.gcnn_choose_data(h, a, b, conv, out, &n, &perf[0])
	case backwardFilter:
		r = C.gcnn_choose_filter(h, a, b, conv, out, &n, &perf[0])
	}
	if r != 0 {
		return nil, status{dnn, int(r)}
	}
	var list []choice
	for _, p := range perf[:n] {
		list = append(list, choice{
			algo: int(p.algo), supported: p.status == C.CUDNN_STATUS_SUCCESS, deterministic: p.determinism == C.CUDNN_DETERMINISTIC, math: int(p.math),
		})
	}
	return list, status{dnn, 0}
}

// space is the workspace that an algorithm asks for.
func space(ctx *cudnn.Context, d direction, a, b, conv, out unsafe.Pointer, algo int) (int64, status) {
	var n C.size_t
	h := first(ctx)
	var r C.int
	switch d {
	case forward:
		r = C.gcnn_space_forward(h, a, b, conv, out, C.int(algo), &n)
	case backwardData:
		r = C.gcnn_space_data(h, a, b, conv, out, C.int(algo), &n)
	case backwardFilter:
		r = C.gcnn_space_filter(h, a, b, conv, out, C.int(algo), &n)
	}
	return int64(n), status{dnn, int(r)}
}
