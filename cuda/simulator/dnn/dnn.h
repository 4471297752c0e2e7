// What the parts of the cuDNN stand-in share: handles, descriptors and the checks of tensors. Written from cuDNN 9's
// documentation of its legacy functions; where that leaves room it takes the side that shows a careless caller.
#pragma once
#include <cudnn.h>

#include <memory>
#include <set>

#include "../core/device.h"

namespace sim {

struct DnnError : std::runtime_error {
  cudnnStatus_t status;
  DnnError(cudnnStatus_t s, const std::string &what) : std::runtime_error(what), status(s) {}
};

[[noreturn]] inline void bad(const std::string &what) { throw DnnError(CUDNN_STATUS_BAD_PARAM, what); }
[[noreturn]] inline void unsupported(const std::string &what) { throw DnnError(CUDNN_STATUS_NOT_SUPPORTED, what); }

struct Handle {
  static constexpr const char *kind = "cuDNN handles";
  Context *context;
  CUstream stream = nullptr;
};

struct Tensor {
  static constexpr const char *kind = "cuDNN tensor descriptors";
  int n = 0; // dimensions; 0: not set
  int dim[8], stride[8];
  u64 extent() const; // bytes from the first element to the end of the last
  u64 count() const;
  bool packed(cudnnTensorFormat_t) const;
  std::string text() const;
};

struct Filter {
  static constexpr const char *kind = "cuDNN filter descriptors";
  int n = 0;
  cudnnTensorFormat_t format;
  int dim[8]; // filters, channels, height, width in either format
  u64 bytes() const;
  std::string text() const;
};

struct Convolution {
  static constexpr const char *kind = "cuDNN convolution descriptors";
  bool set = false;
  int pad[2], stride[2], dilation[2], groups = 1;
  cudnnConvolutionMode_t mode;
  cudnnMathType_t math = CUDNN_DEFAULT_MATH;
};

struct Pooling {
  static constexpr const char *kind = "cuDNN pooling descriptors";
  bool set = false;
  cudnnPoolingMode_t mode;
  cudnnNanPropagation_t nan;
  int window[2], pad[2], stride[2];
};

struct Activation {
  static constexpr const char *kind = "cuDNN activation descriptors";
  bool set = false;
  cudnnActivationMode_t mode;
  cudnnNanPropagation_t nan;
  double coefficient;
};

struct Normalization {
  static constexpr const char *kind = "cuDNN LRN descriptors";
  bool set = false;
  unsigned n;
  double alpha, beta, k;
};

// The living objects of a kind; a handle is its object's address, which is never used again.
template <class T>
struct Registry {
  std::set<const T *> live;
  T *make() {
    T *t = new T;
    live.insert(t);
    born((std::string("live.") + T::kind).c_str());
    return t;
  }
  void destroy(const void *p) {
    if (!live.erase((const T *)p)) bad(std::string("this is none of the living ") + T::kind);
    died((std::string("live.") + T::kind).c_str());
  }
  T &get(const void *p) {
    if (!live.count((const T *)p)) bad(std::string(p ? "this is none of the living " : "a null pointer is none of the living ") + T::kind);
    return *(T *)p;
  }
};
template <class T>
Registry<T> &registry() {
  static Registry<T> &r = *new Registry<T>;
  return r;
}
template <class T>
T &get(const void *p) { return registry<T>().get(p); }

// A descriptor that has been set.
const Tensor &tensor(cudnnTensorDescriptor_t, const char *name);
const Tensor &map(cudnnTensorDescriptor_t, const char *name); // of four dimensions
const Filter &filter(cudnnFilterDescriptor_t);

// A handle to run on: the device must live and the handle's context be current.
Handle &running(cudnnHandle_t);

// A tensor's bytes in device memory: an argument of a call.
struct Argument {
  const char *name;
  const void *pointer;
  u64 bytes;
  bool written;
};

// The elements of a tensor of four dimensions.
struct View {
  float *p;
  s64 s[4];
  int d[4];
  float &at(int n, int c, int h, int w) const { return p[n * s[0] + c * s[1] + h * s[2] + w * s[3]]; }
};

// Queues a call's work. The arguments are checked now (null, alignment, overlap of what is written with anything, unless it is
// the very same pointer and inplace) and, that they lie in living memory, when the work runs; run gets the host's pointers in
// their order, null for null arguments.
void queue(Handle &, const char *call, std::vector<Argument>, bool inplace, std::function<void(const std::vector<float *> &)> run);

View view(const Tensor &, float *p);

// The host's scalars alpha and beta.
struct Blend {
  float alpha, beta;
  Blend(const void *a, const void *b) {
    if (!a || !b) bad("alpha and beta are pointers to float on the host");
    alpha = *(const float *)a, beta = *(const float *)b;
  }
  void operator()(float &y, float v) const { y = beta == 0 ? alpha * v : alpha * v + beta * y; }
};

template <class F>
cudnnStatus_t dnn_call(const char *name, Counter &count, F f) {
  std::lock_guard<std::recursive_mutex> lock(device().mutex);
  count.value++;
  counter("calls").value++;
  try {
    if (int code = injected(name)) return (cudnnStatus_t)code;
    f();
    return CUDNN_STATUS_SUCCESS;
  } catch (const DnnError &e) {
    say(std::string(name) + ": " + e.what());
    return e.status;
  } catch (const Fault &e) {
    failed(name, e);
    return e.code == CUDA_ERROR_OUT_OF_MEMORY ? CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED : CUDNN_STATUS_EXECUTION_FAILED_CUDA_DRIVER;
  }
}

#define DNN(...)                                                                              \
  static ::sim::Counter &counted = ::sim::counter((std::string("call.") + __func__).c_str()); \
  return ::sim::dnn_call(__func__, counted, [&] { __VA_ARGS__ });

}  // namespace sim
