#include "dnn.h"

#include <algorithm>

namespace sim {

u64 Tensor::extent() const {
  u64 last = 0;
  for (int k = 0; k < n; k++) last += (u64)(dim[k] - 1) * (u64)stride[k];
  return (last + 1) * sizeof(float);
}

u64 Tensor::count() const {
  u64 c = 1;
  for (int k = 0; k < n; k++) c *= (u64)dim[k];
  return c;
}

// A dimension of 1 may have any stride.
bool Tensor::packed(cudnnTensorFormat_t f) const {
  if (n != 4) return false;
  int order[4] = {0, 1, 2, 3};
  if (f == CUDNN_TENSOR_NHWC) order[1] = 2, order[2] = 3, order[3] = 1;
  int expected = 1;
  for (int k = 3; k >= 0; k--) {
    int i = order[k];
    if (dim[i] != 1 && stride[i] != expected) return false;
    expected *= dim[i];
  }
  return true;
}

static std::string list(const int *v, int n) {
  std::string s = "[";
  for (int k = 0; k < n; k++) s += (k ? " " : "") + std::to_string(v[k]);
  return s + "]";
}

std::string Tensor::text() const { return list(dim, n) + " with strides " + list(stride, n); }

u64 Filter::bytes() const {
  u64 c = sizeof(float);
  for (int k = 0; k < n; k++) c *= (u64)dim[k];
  return c;
}

std::string Filter::text() const { return list(dim, n) + (format == CUDNN_TENSOR_NHWC ? " NHWC" : " NCHW"); }

const Tensor &tensor(cudnnTensorDescriptor_t d, const char *name) {
  Tensor &t = get<Tensor>(d);
  if (!t.n) bad(std::string(name) + ": the descriptor was not set");
  return t;
}

const Tensor &map(cudnnTensorDescriptor_t d, const char *name) {
  const Tensor &t = tensor(d, name);
  if (t.n != 4) unsupported(std::string(name) + format(" has %d dimensions; 4 are implemented", t.n));
  return t;
}

const Filter &filter(cudnnFilterDescriptor_t d) {
  Filter &f = get<Filter>(d);
  if (!f.n) bad("the filter descriptor was not set");
  return f;
}

Handle &running(cudnnHandle_t h) {
  Handle &handle = get<Handle>(h);
  if (device().error) throw DnnError(CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER, format("the device failed before: %s", error_name(device().error)));
  if (current() != handle.context || !handle.context->live) bad("the handle was created under another context than the thread's current one");
  return handle;
}

View view(const Tensor &t, float *p) {
  View v;
  v.p = p;
  for (int k = 0; k < 4; k++) v.s[k] = t.stride[k], v.d[k] = t.dim[k];
  return v;
}

void queue(Handle &h, const char *call, std::vector<Argument> arguments, bool inplace, std::function<void(const std::vector<float *> &)> run) {
  for (const Argument &a : arguments) {
    if (!a.bytes) continue;
    if (!a.pointer) throw DnnError(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, std::string(a.name) + " is null");
    if ((u64)a.pointer % 16 && a.bytes >= 16) throw DnnError(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, std::string(a.name) + " is not aligned to 16 bytes");
    if (!a.written) continue;
    for (const Argument &b : arguments) {
      if (&a == &b || !b.bytes) continue;
      u64 p = (u64)a.pointer, q = (u64)b.pointer;
      if (p < q + b.bytes && q < p + a.bytes && !(inplace && p == q)) bad(std::string(a.name) + " and " + b.name + " overlap");
    }
  }
  Stream *s = stream_of(h.stream);
  counter(s->capture ? "captured library calls" : "library calls").value++;
  std::string name = call;
  submit(s, CU_GRAPH_NODE_TYPE_KERNEL, name, [name, arguments, run] {
    count_run(name);
    std::vector<float *> p;
    for (const Argument &a : arguments) p.push_back(a.bytes ? (float *)device().heap.resolve((u64)a.pointer, a.bytes, name + ", " + a.name) : nullptr);
    run(p);
  });
}

}  // namespace sim

using namespace sim;

SIM_API size_t cudnnGetVersion(void) { return CUDNN_VERSION; }
SIM_API size_t cudnnGetCudartVersion(void) { return CUDA_VERSION; }

SIM_API cudnnStatus_t cudnnGetProperty(libraryPropertyType t, int *v) {
  DNN(switch (t) {
    case MAJOR_VERSION: *v = CUDNN_MAJOR; break;
    case MINOR_VERSION: *v = CUDNN_MINOR; break;
    case PATCH_LEVEL: *v = CUDNN_PATCHLEVEL; break;
    default: bad("unknown property");
  })
}

SIM_API const char *cudnnGetErrorString(cudnnStatus_t s) {
  switch (s) {
#define S(n) case n: return #n;
    S(CUDNN_STATUS_SUCCESS) S(CUDNN_STATUS_NOT_INITIALIZED) S(CUDNN_STATUS_BAD_PARAM) S(CUDNN_STATUS_BAD_PARAM_NULL_POINTER)
    S(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER) S(CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT) S(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH)
    S(CUDNN_STATUS_NOT_SUPPORTED) S(CUDNN_STATUS_NOT_SUPPORTED_LAYOUT) S(CUDNN_STATUS_NOT_SUPPORTED_DATA_TYPE) S(CUDNN_STATUS_INTERNAL_ERROR)
    S(CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED) S(CUDNN_STATUS_EXECUTION_FAILED) S(CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER)
#undef S
  default: return "CUDNN_UNKNOWN_STATUS";
  }
}

SIM_API cudnnStatus_t cudnnCreate(cudnnHandle_t *h) {
  static Counter &counted = counter("call.cudnnCreate");
  return dnn_call(__func__, counted, [&] {
    if (!device().initialised || !current()) throw DnnError(CUDNN_STATUS_NOT_INITIALIZED, "no context is current on this thread");
    if (device().error) throw DnnError(CUDNN_STATUS_NOT_INITIALIZED, "the device failed before");
    enter("cudnnCreate", Current | Uncaptured);
    Handle *n = registry<Handle>().make();
    n->context = current();
    *h = (cudnnHandle_t)n;
  });
}
SIM_API cudnnStatus_t cudnnDestroy(cudnnHandle_t h) { DNN(registry<Handle>().destroy(h);) }

SIM_API cudnnStatus_t cudnnSetStream(cudnnHandle_t h, cudaStream_t s) {
  DNN({
    Handle &handle = running(h);
    stream_of((CUstream)s);
    handle.stream = (CUstream)s;
  })
}
SIM_API cudnnStatus_t cudnnGetStream(cudnnHandle_t h, cudaStream_t *s) { DNN(*s = (cudaStream_t)get<Handle>(h).stream;) }

#define DESCRIPTOR(Name, T)                                                                                                            \
  SIM_API cudnnStatus_t cudnnCreate##Name##Descriptor(cudnn##Name##Descriptor_t *d) { DNN(*d = (cudnn##Name##Descriptor_t)registry<T>().make();) } \
  SIM_API cudnnStatus_t cudnnDestroy##Name##Descriptor(cudnn##Name##Descriptor_t d) { DNN(registry<T>().destroy(d);) }
DESCRIPTOR(Tensor, sim::Tensor)
DESCRIPTOR(Filter, sim::Filter)
DESCRIPTOR(Convolution, sim::Convolution)
DESCRIPTOR(Pooling, sim::Pooling)
DESCRIPTOR(Activation, sim::Activation)
SIM_API cudnnStatus_t cudnnCreateLRNDescriptor(cudnnLRNDescriptor_t *d) { DNN(*d = (cudnnLRNDescriptor_t)registry<Normalization>().make();) }
SIM_API cudnnStatus_t cudnnDestroyLRNDescriptor(cudnnLRNDescriptor_t d) { DNN(registry<Normalization>().destroy(d);) }

static void set_tensor(cudnnTensorDescriptor_t d, cudnnDataType_t type, int n, const int *dim, const int *stride) {
  if (n < 3 || n > 8) unsupported(format("%d dimensions; cuDNN takes 3 to 8", n));
  if (type != CUDNN_DATA_FLOAT) unsupported("only CUDNN_DATA_FLOAT is implemented");
  Tensor &t = get<Tensor>(d);
  double elements = 1;
  for (int k = 0; k < n; k++) {
    if (dim[k] < 1 || stride[k] < 1) bad(format("dimension %d is %d with stride %d", k, dim[k], stride[k]));
    t.dim[k] = dim[k], t.stride[k] = stride[k];
    elements *= dim[k];
  }
  if (elements > 2147483647.0) unsupported("more than 2³¹−1 elements");
  t.n = n;
}

static void strides_of(cudnnTensorFormat_t f, int n, const int *dim, int *stride) {
  if (f == CUDNN_TENSOR_NHWC) {
    int s = dim[1];
    stride[1] = 1;
    for (int k = n - 1; k >= 2; k--) stride[k] = s, s *= dim[k];
    stride[0] = s;
  } else if (f == CUDNN_TENSOR_NCHW) {
    int s = 1;
    for (int k = n - 1; k >= 0; k--) stride[k] = s, s *= dim[k];
  } else {
    unsupported("only NCHW and NHWC are implemented");
  }
}

SIM_API cudnnStatus_t cudnnSetTensor4dDescriptor(cudnnTensorDescriptor_t d, cudnnTensorFormat_t f, cudnnDataType_t type, int n, int c, int h, int w) {
  DNN({
    int dim[4] = {n, c, h, w};
    int stride[4];
    strides_of(f, 4, dim, stride);
    set_tensor(d, type, 4, dim, stride);
  })
}

SIM_API cudnnStatus_t cudnnSetTensor4dDescriptorEx(cudnnTensorDescriptor_t d, cudnnDataType_t type, int n, int c, int h, int w, int ns, int cs, int hs, int ws) {
  DNN({
    int dim[4] = {n, c, h, w};
    int stride[4] = {ns, cs, hs, ws};
    set_tensor(d, type, 4, dim, stride);
  })
}

SIM_API cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t d, cudnnDataType_t type, int n, const int *dim, const int *stride) { DNN(set_tensor(d, type, n, dim, stride);) }

SIM_API cudnnStatus_t cudnnSetTensorNdDescriptorEx(cudnnTensorDescriptor_t d, cudnnTensorFormat_t f, cudnnDataType_t type, int n, const int *dim) {
  DNN({
    if (n < 3 || n > 8) unsupported(format("%d dimensions; cuDNN takes 3 to 8", n));
    int stride[8];
    strides_of(f, n, dim, stride);
    set_tensor(d, type, n, dim, stride);
  })
}

SIM_API cudnnStatus_t cudnnGetTensorSizeInBytes(cudnnTensorDescriptor_t d, size_t *n) { DNN(*n = tensor(d, "tensor").extent();) }

static void set_filter(cudnnFilterDescriptor_t d, cudnnDataType_t type, cudnnTensorFormat_t f, int n, const int *dim) {
  if (type != CUDNN_DATA_FLOAT) unsupported("only CUDNN_DATA_FLOAT is implemented");
  if (f != CUDNN_TENSOR_NCHW && f != CUDNN_TENSOR_NHWC) unsupported("only NCHW and NHWC are implemented");
  if (n != 4) unsupported(format("filters of %d dimensions; 4 are implemented", n));
  Filter &w = get<Filter>(d);
  for (int k = 0; k < n; k++) {
    if (dim[k] < 1) bad(format("dimension %d is %d", k, dim[k]));
    w.dim[k] = dim[k];
  }
  w.n = n, w.format = f;
}

SIM_API cudnnStatus_t cudnnSetFilter4dDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t type, cudnnTensorFormat_t f, int k, int c, int h, int w) {
  DNN({
    int dim[4] = {k, c, h, w};
    set_filter(d, type, f, 4, dim);
  })
}
SIM_API cudnnStatus_t cudnnSetFilterNdDescriptor(cudnnFilterDescriptor_t d, cudnnDataType_t type, cudnnTensorFormat_t f, int n, const int *dim) { DNN(set_filter(d, type, f, n, dim);) }
