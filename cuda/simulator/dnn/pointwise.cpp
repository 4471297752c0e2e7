// Activation, softmax, and adding a bias.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "dnn.h"

using namespace sim;

static void same_shape(const Tensor &a, const Tensor &b, const char *what) {
  if (memcmp(a.dim, b.dim, sizeof(int) * 4)) bad(std::string(what) + " have different shapes: " + a.text() + " and " + b.text());
}

// Calls f with every index of a tensor.
template <class F>
static void each(const View &v, F f) {
  for (int n = 0; n < v.d[0]; n++)
    for (int c = 0; c < v.d[1]; c++)
      for (int h = 0; h < v.d[2]; h++)
        for (int w = 0; w < v.d[3]; w++) f(n, c, h, w);
}

SIM_API cudnnStatus_t cudnnSetActivationDescriptor(cudnnActivationDescriptor_t d, cudnnActivationMode_t mode, cudnnNanPropagation_t nan, double coefficient) {
  DNN({
    if (mode < CUDNN_ACTIVATION_SIGMOID || mode > CUDNN_ACTIVATION_SWISH) bad("unknown mode");
    auto &a = get<sim::Activation>(d);
    a.set = true, a.mode = mode, a.nan = nan, a.coefficient = coefficient;
  })
}

static const sim::Activation &activation(cudnnActivationDescriptor_t d) {
  auto &a = get<sim::Activation>(d);
  if (!a.set) bad("the activation descriptor was not set");
  if (a.mode == CUDNN_ACTIVATION_IDENTITY) unsupported("identity works in cudnnConvolutionBiasActivationForward alone");
  if (a.mode == CUDNN_ACTIVATION_SWISH) unsupported("swish is not implemented");
  return a;
}

static float activate(const sim::Activation &a, float x) {
  if (std::isnan(x)) return a.nan == CUDNN_PROPAGATE_NAN || a.mode == CUDNN_ACTIVATION_SIGMOID || a.mode == CUDNN_ACTIVATION_TANH ? x : 0;
  switch (a.mode) {
  case CUDNN_ACTIVATION_SIGMOID: return (float)(1 / (1 + std::exp(-(double)x)));
  case CUDNN_ACTIVATION_RELU: return x > 0 ? x : 0;
  case CUDNN_ACTIVATION_TANH: return (float)std::tanh((double)x);
  case CUDNN_ACTIVATION_CLIPPED_RELU: return std::min(x > 0 ? x : 0, (float)a.coefficient);
  default: return x > 0 ? x : (float)(a.coefficient * std::expm1((double)x));
  }
}

static float slope(const sim::Activation &a, float x, float y) {
  switch (a.mode) {
  case CUDNN_ACTIVATION_SIGMOID: return y * (1 - y);
  case CUDNN_ACTIVATION_RELU: return x > 0 ? 1 : 0;
  case CUDNN_ACTIVATION_TANH: return 1 - y * y;
  case CUDNN_ACTIVATION_CLIPPED_RELU: return x > 0 && x < a.coefficient ? 1 : 0;
  default: return x > 0 ? 1 : (float)(a.coefficient * std::exp((double)x)); // a caller that gives y for x shows
  }
}

SIM_API cudnnStatus_t cudnnActivationForward(cudnnHandle_t h, cudnnActivationDescriptor_t d, const void *alpha, cudnnTensorDescriptor_t xd, const void *x, const void *beta, cudnnTensorDescriptor_t yd, void *y) {
  DNN({
    Handle &handle = running(h);
    sim::Activation act = activation(d);
    Tensor xt = map(xd, "x");
    Tensor yt = map(yd, "y");
    same_shape(xt, yt, "x and y");
    Blend blend(alpha, beta);
    if (x == y && memcmp(xt.stride, yt.stride, sizeof(int) * 4)) bad("x and y in place have different strides");
    queue(handle, "cudnnActivationForward", {{"x", x, xt.extent(), false}, {"y", y, yt.extent(), true}}, true, [=](const std::vector<float *> &a) {
      View v = view(xt, a[0]), o = view(yt, a[1]);
      each(v, [&](int n, int c, int i, int j) { blend(o.at(n, c, i, j), activate(act, v.at(n, c, i, j))); });
    });
  })
}

SIM_API cudnnStatus_t cudnnActivationBackward(cudnnHandle_t h, cudnnActivationDescriptor_t d, const void *alpha, cudnnTensorDescriptor_t yd, const void *y, cudnnTensorDescriptor_t dyd, const void *dy, cudnnTensorDescriptor_t xd, const void *x, const void *beta,
                                              cudnnTensorDescriptor_t dxd, void *dx) {
  DNN({
    Handle &handle = running(h);
    sim::Activation act = activation(d);
    Tensor yt = map(yd, "y");
    Tensor dyt = map(dyd, "dy");
    Tensor xt = map(xd, "x");
    Tensor dxt = map(dxd, "dx");
    same_shape(yt, dyt, "y and dy");
    same_shape(xt, dxt, "x and dx");
    same_shape(xt, yt, "x and y");
    if (memcmp(yt.stride, dyt.stride, sizeof(int) * 4) || memcmp(xt.stride, dxt.stride, sizeof(int) * 4)) bad("y and dy, x and dx have the same strides");
    Blend blend(alpha, beta);
    queue(handle, "cudnnActivationBackward", {{"y", y, yt.extent(), false}, {"dy", dy, dyt.extent(), false}, {"x", x, xt.extent(), false}, {"dx", dx, dxt.extent(), true}}, true, [=](const std::vector<float *> &a) {
      View yv = view(yt, a[0]), g = view(dyt, a[1]), xv = view(xt, a[2]), o = view(dxt, a[3]);
      each(o, [&](int n, int c, int i, int j) { blend(o.at(n, c, i, j), g.at(n, c, i, j) * slope(act, xv.at(n, c, i, j), yv.at(n, c, i, j))); });
    });
  })
}

// Calls f with the elements of each softmax: the channels of a position, or all of a sample.
template <class F>
static void each_softmax(const View &v, cudnnSoftmaxMode_t mode, F f) {
  std::vector<s64> offsets;
  auto offset = [&](int c, int h, int w) { return c * v.s[1] + h * v.s[2] + w * v.s[3]; };
  for (int n = 0; n < v.d[0]; n++) {
    if (mode == CUDNN_SOFTMAX_MODE_INSTANCE) {
      offsets.clear();
      for (int c = 0; c < v.d[1]; c++)
        for (int h = 0; h < v.d[2]; h++)
          for (int w = 0; w < v.d[3]; w++) offsets.push_back(offset(c, h, w));
      f(n, offsets);
      continue;
    }
    for (int h = 0; h < v.d[2]; h++)
      for (int w = 0; w < v.d[3]; w++) {
        offsets.clear();
        for (int c = 0; c < v.d[1]; c++) offsets.push_back(offset(c, h, w));
        f(n, offsets);
      }
  }
}

static void softmax_tensors(const Tensor &a, const Tensor &b) {
  same_shape(a, b, "the tensors");
  if (memcmp(a.stride, b.stride, sizeof(int) * 4)) unsupported("tensors of different strides");
  if (!a.packed(CUDNN_TENSOR_NCHW) && !a.packed(CUDNN_TENSOR_NHWC)) unsupported("tensors that are not packed");
}

SIM_API cudnnStatus_t cudnnSoftmaxForward(cudnnHandle_t h, cudnnSoftmaxAlgorithm_t algo, cudnnSoftmaxMode_t mode, const void *alpha, cudnnTensorDescriptor_t xd, const void *x, const void *beta, cudnnTensorDescriptor_t yd, void *y) {
  DNN({
    Handle &handle = running(h);
    Tensor xt = map(xd, "x");
    Tensor yt = map(yd, "y");
    softmax_tensors(xt, yt);
    Blend blend(alpha, beta);
    queue(handle, "cudnnSoftmaxForward", {{"x", x, xt.extent(), false}, {"y", y, yt.extent(), true}}, true, [=](const std::vector<float *> &a) {
      each_softmax(view(xt, a[0]), mode, [&](int n, const std::vector<s64> &at) {
        const float *v = a[0] + (s64)n * xt.stride[0];
        float *o = a[1] + (s64)n * yt.stride[0];
        float largest = algo == CUDNN_SOFTMAX_FAST ? 0 : -INFINITY, sum = 0;
        if (algo != CUDNN_SOFTMAX_FAST)
          for (s64 k : at) largest = v[k] > largest || std::isnan(v[k]) ? v[k] : largest;
        for (s64 k : at) sum += std::exp(v[k] - largest);
        for (s64 k : at) blend(o[k], algo == CUDNN_SOFTMAX_LOG ? v[k] - largest - std::log(sum) : std::exp(v[k] - largest) / sum);
      });
    });
  })
}

SIM_API cudnnStatus_t cudnnSoftmaxBackward(cudnnHandle_t h, cudnnSoftmaxAlgorithm_t algo, cudnnSoftmaxMode_t mode, const void *alpha, cudnnTensorDescriptor_t yd, const void *y, cudnnTensorDescriptor_t dyd, const void *dy, const void *beta, cudnnTensorDescriptor_t dxd, void *dx) {
  DNN({
    Handle &handle = running(h);
    Tensor yt = map(yd, "y");
    Tensor dyt = map(dyd, "dy");
    Tensor dxt = map(dxd, "dx");
    softmax_tensors(yt, dyt);
    softmax_tensors(yt, dxt);
    Blend blend(alpha, beta);
    queue(handle, "cudnnSoftmaxBackward", {{"y", y, yt.extent(), false}, {"dy", dy, dyt.extent(), false}, {"dx", dx, dxt.extent(), true}}, true, [=](const std::vector<float *> &a) {
      each_softmax(view(yt, a[0]), mode, [&](int n, const std::vector<s64> &at) {
        s64 base = (s64)n * yt.stride[0];
        const float *p = a[0] + base, *g = a[1] + base;
        float *o = a[2] + base, sum = 0;
        for (s64 k : at) sum += algo == CUDNN_SOFTMAX_LOG ? g[k] : g[k] * p[k];
        for (s64 k : at) blend(o[k], algo == CUDNN_SOFTMAX_LOG ? g[k] - std::exp(p[k]) * sum : p[k] * (g[k] - sum));
      });
    });
  })
}

SIM_API cudnnStatus_t cudnnAddTensor(cudnnHandle_t h, const void *alpha, cudnnTensorDescriptor_t ad, const void *a, const void *beta, cudnnTensorDescriptor_t cd, void *c) {
  DNN({
    Handle &handle = running(h);
    Tensor at = map(ad, "A");
    Tensor ct = map(cd, "C");
    for (int k = 0; k < 4; k++)
      if (at.dim[k] != ct.dim[k] && at.dim[k] != 1) bad("a dimension of A is that of C or 1: " + at.text() + " and " + ct.text());
    Blend blend(alpha, beta);
    queue(handle, "cudnnAddTensor", {{"A", a, at.extent(), false}, {"C", c, ct.extent(), true}}, false, [=](const std::vector<float *> &p) {
      View v = view(at, p[0]), o = view(ct, p[1]);
      each(o, [&](int n, int k, int i, int j) {
        float x = v.at(v.d[0] == 1 ? 0 : n, v.d[1] == 1 ? 0 : k, v.d[2] == 1 ? 0 : i, v.d[3] == 1 ? 0 : j);
        float &y = o.at(n, k, i, j);
        y = blend.alpha * x + blend.beta * y;
      });
    });
  })
}
