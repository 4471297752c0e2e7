// Convolution: forward, backward data, backward filter, bias gradient, and the heuristics that choose algorithms.
//
// Which algorithms a layout has follows the tables of cudnnConvolutionForward, …BackwardData and …BackwardFilter: in NHWC the
// implicit GEMMs (forward 0 and 1, backward 0 and 1) without dilation, in NCHW those and a few more. Algorithms that are not
// deterministic add up in another order each time. Without CUDNN_FMA_MATH inputs are rounded to TF32, as on an Ampere or later.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "../core/gemm.h"
#include "dnn.h"

using namespace sim;

namespace {

enum Direction { Forward, BackwardData, BackwardFilter };

struct Problem {
  Tensor x, y;
  Filter w;
  sim::Convolution conv;
  cudnnTensorFormat_t layout;
  int filters, channels, kh, kw, oh, ow; // channels of a group; filters of all groups

  int group_filters() const { return filters / conv.groups; }
  int taps() const { return kh * kw; }
  u64 columns_bytes() const { return (u64)oh * (u64)ow * (u64)taps() * (u64)channels * sizeof(float); }
};

int out_size(int in, int k, int pad, int stride, int dilation) { return 1 + (in + 2 * pad - ((k - 1) * dilation + 1)) / stride; }

Problem problem(cudnnTensorDescriptor_t xd, cudnnFilterDescriptor_t wd, cudnnConvolutionDescriptor_t cd, cudnnTensorDescriptor_t yd) {
  Problem p;
  p.x = map(xd, "x"), p.y = map(yd, "y"), p.w = filter(wd), p.conv = get<sim::Convolution>(cd);
  if (!p.conv.set) bad("the convolution descriptor was not set");
  p.filters = p.w.dim[0], p.channels = p.w.dim[1], p.kh = p.w.dim[2], p.kw = p.w.dim[3];
  if (p.x.dim[1] != p.channels * p.conv.groups) bad(format("x has %d channels, the filter %d in each of %d groups", p.x.dim[1], p.channels, p.conv.groups));
  if (p.filters % p.conv.groups) bad(format("%d filters do not divide into %d groups", p.filters, p.conv.groups));
  p.oh = out_size(p.x.dim[2], p.kh, p.conv.pad[0], p.conv.stride[0], p.conv.dilation[0]);
  p.ow = out_size(p.x.dim[3], p.kw, p.conv.pad[1], p.conv.stride[1], p.conv.dilation[1]);
  if (p.oh < 1 || p.ow < 1) bad("the kernel does not fit the padded input");
  if (p.y.dim[0] != p.x.dim[0] || p.y.dim[1] != p.filters || p.y.dim[2] != p.oh || p.y.dim[3] != p.ow)
    bad(format("y is %s, the convolution gives [%d %d %d %d]", p.y.text().c_str(), p.x.dim[0], p.filters, p.oh, p.ow));
  p.layout = p.w.format;
  if (!p.x.packed(p.layout) || !p.y.packed(p.layout)) throw DnnError(CUDNN_STATUS_NOT_SUPPORTED_LAYOUT, "x and y are packed in the filter's layout: x " + p.x.text() + ", y " + p.y.text() + ", filter " + p.w.text());
  return p;
}

// Why an algorithm does not take a problem; null if it does.
const char *refuses(const Problem &p, Direction d, int algo) {
  static const char *mode = getenv("GCNN_SIM_REFUSE_CONVOLUTION"); // nhwc or all: to test what a caller does then
  bool nhwc = p.layout == CUDNN_TENSOR_NHWC, dilated = p.conv.dilation[0] != 1 || p.conv.dilation[1] != 1;
  if (mode && (!strcmp(mode, "all") || (nhwc && !strcmp(mode, "nhwc")))) return "GCNN_SIM_REFUSE_CONVOLUTION refuses it";
  if (nhwc && dilated) return "dilation is 1 in NHWC";
  switch (d) {
  case Forward:
    if (algo == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM) return nullptr;
    if (algo == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM) return nullptr;
    if (algo == CUDNN_CONVOLUTION_FWD_ALGO_GEMM) return nhwc ? "it takes NCHW alone" : dilated ? "dilation is 1" : nullptr;
    break;
  case BackwardData:
    if (algo == CUDNN_CONVOLUTION_BWD_DATA_ALGO_0) return nullptr;
    if (algo == CUDNN_CONVOLUTION_BWD_DATA_ALGO_1) return nullptr;
    break;
  case BackwardFilter:
    if (algo == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0) return nullptr;
    if (algo == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1) return nullptr;
    if (algo == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3) return nhwc ? "it takes NCHW alone" : dilated ? "dilation is 1" : nullptr;
    break;
  }
  return "the algorithm is not implemented";
}

bool deterministic(Direction d, int algo) {
  if (d == BackwardData) return algo != CUDNN_CONVOLUTION_BWD_DATA_ALGO_0;
  if (d == BackwardFilter) return algo == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1;
  return true;
}

u64 workspace(const Problem &p, Direction d, int algo) {
  if (d == Forward && algo == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM) return (u64)(p.oh * p.ow * p.taps()) * 4 + 1024;
  if (d == Forward && algo == CUDNN_CONVOLUTION_FWD_ALGO_GEMM) return p.columns_bytes();
  if (d == BackwardData && algo == CUDNN_CONVOLUTION_BWD_DATA_ALGO_1) return p.w.bytes() + 512;
  if (d == BackwardFilter && algo == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1) return p.w.bytes() * 2 + 512;
  if (d == BackwardFilter && algo == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3) return p.w.bytes();
  return 0;
}

void check_algorithm(const Problem &p, Direction d, int algo, size_t given) {
  if (const char *why = refuses(p, d, algo)) unsupported(format("algorithm %d: %s", algo, why));
  u64 needed = workspace(p, d, algo);
  if (given < needed) throw DnnError(CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT, format("a workspace of %zu bytes, algorithm %d needs %llu", given, algo, (unsigned long long)needed));
}

float rounded(const Problem &p, float v) { return p.conv.math == CUDNN_FMA_MATH ? v : tf32(v); }

size_t filter_index(const Problem &p, int k, int c, int r, int s) {
  return p.layout == CUDNN_TENSOR_NHWC ? (((size_t)k * p.kh + r) * p.kw + s) * p.channels + c : (((size_t)k * p.channels + c) * p.kh + r) * p.kw + s;
}

// The filter's tap as it meets the input: a true convolution turns it.
void tap(const Problem &p, int t, int *r, int *s) {
  *r = t / p.kw, *s = t % p.kw;
  if (p.conv.mode == CUDNN_CONVOLUTION) *r = p.kh - 1 - *r, *s = p.kw - 1 - *s;
}

// rows of output places, columns of (tap, channel): what each place sees of image n, group g
void im2col(const Problem &p, const View &x, int n, int g, std::vector<float> &columns) {
  size_t width = (size_t)p.taps() * p.channels;
  columns.assign((size_t)p.oh * p.ow * width, 0);
  for (int i = 0; i < p.oh; i++)
    for (int j = 0; j < p.ow; j++)
      for (int t = 0; t < p.taps(); t++) {
        int h = i * p.conv.stride[0] - p.conv.pad[0] + t / p.kw * p.conv.dilation[0], w = j * p.conv.stride[1] - p.conv.pad[1] + t % p.kw * p.conv.dilation[1];
        if (h < 0 || h >= x.d[2] || w < 0 || w >= x.d[3]) continue;
        float *to = columns.data() + ((size_t)i * p.ow + j) * width + (size_t)t * p.channels;
        const float *from = &x.at(n, g * p.channels, h, w);
        for (int c = 0; c < p.channels; c++) to[c] = rounded(p, from[c * x.s[1]]);
      }
}

// [tap, channel] × filters of group g, or transposed
std::vector<float> matrix(const Problem &p, const float *w, int g, bool transposed) {
  int rows = p.taps() * p.channels, cols = p.group_filters();
  std::vector<float> m((size_t)rows * cols);
  for (int t = 0; t < p.taps(); t++) {
    int r, s;
    tap(p, t, &r, &s);
    for (int c = 0; c < p.channels; c++)
      for (int k = 0; k < cols; k++) {
        size_t row = (size_t)t * p.channels + c;
        m[transposed ? (size_t)k * rows + row : row * cols + k] = rounded(p, w[filter_index(p, g * cols + k, c, r, s)]);
      }
  }
  return m;
}

void gather_y(const Problem &p, const View &y, int n, int g, std::vector<float> &out) {
  int k = p.group_filters();
  out.resize((size_t)p.oh * p.ow * k);
  for (int i = 0; i < p.oh; i++)
    for (int j = 0; j < p.ow; j++)
      for (int f = 0; f < k; f++) out[((size_t)i * p.ow + j) * k + f] = rounded(p, y.at(n, g * k + f, i, j));
}

void forward(const Problem &p, const float *xp, const float *w, float *yp, Blend blend, const std::function<float(int, float, int, int, int)> &finish) {
  View x = view(p.x, (float *)xp), y = view(p.y, yp);
  int rows = p.oh * p.ow, inner = p.taps() * p.channels, k = p.group_filters();
  std::vector<float> columns, out((size_t)rows * k);
  for (int g = 0; g < p.conv.groups; g++) {
    auto m = matrix(p, w, g, false);
    for (int n = 0; n < x.d[0]; n++) {
      im2col(p, x, n, g, columns);
      gemm(rows, k, inner, columns.data(), (size_t)inner, m.data(), (size_t)k, out.data(), (size_t)k, false);
      for (int i = 0; i < p.oh; i++)
        for (int j = 0; j < p.ow; j++)
          for (int f = 0; f < k; f++) {
            float v = out[((size_t)i * p.ow + j) * k + f];
            if (finish) y.at(n, g * k + f, i, j) = finish(n, v, g * k + f, i, j);
            else blend(y.at(n, g * k + f, i, j), v);
          }
    }
  }
}

std::mt19937 &random_order() {
  static std::mt19937 r(std::random_device{}());
  return r;
}

void backward_data(const Problem &p, const float *w, const float *dyp, float *dxp, Blend blend, bool in_order) {
  View dx = view(p.x, dxp), dy = view(p.y, (float *)dyp);
  int rows = p.oh * p.ow, inner = p.taps() * p.channels, k = p.group_filters();
  std::vector<float> grad, columns((size_t)rows * inner), image((size_t)dx.d[2] * dx.d[3] * p.channels);
  std::vector<int> taps((size_t)p.taps());
  std::iota(taps.begin(), taps.end(), 0);
  for (int g = 0; g < p.conv.groups; g++) {
    auto m = matrix(p, w, g, true);
    for (int n = 0; n < dx.d[0]; n++) {
      gather_y(p, dy, n, g, grad);
      gemm(rows, inner, k, grad.data(), (size_t)k, m.data(), (size_t)inner, columns.data(), (size_t)inner, false);
      std::fill(image.begin(), image.end(), 0.0f);
      if (!in_order) std::shuffle(taps.begin(), taps.end(), random_order());
      for (int t : taps)
        for (int i = 0; i < p.oh; i++)
          for (int j = 0; j < p.ow; j++) {
            int h = i * p.conv.stride[0] - p.conv.pad[0] + t / p.kw * p.conv.dilation[0], q = j * p.conv.stride[1] - p.conv.pad[1] + t % p.kw * p.conv.dilation[1];
            if (h < 0 || h >= dx.d[2] || q < 0 || q >= dx.d[3]) continue;
            float *to = image.data() + ((size_t)h * dx.d[3] + q) * p.channels;
            const float *from = columns.data() + ((size_t)i * p.ow + j) * inner + (size_t)t * p.channels;
            for (int c = 0; c < p.channels; c++) to[c] += from[c];
          }
      for (int h = 0; h < dx.d[2]; h++)
        for (int q = 0; q < dx.d[3]; q++)
          for (int c = 0; c < p.channels; c++) blend(dx.at(n, g * p.channels + c, h, q), image[((size_t)h * dx.d[3] + q) * p.channels + c]);
    }
  }
}

void backward_filter(const Problem &p, const float *xp, const float *dyp, float *dw, Blend blend, bool in_order) {
  View x = view(p.x, (float *)xp), dy = view(p.y, (float *)dyp);
  int rows = p.oh * p.ow, inner = p.taps() * p.channels, k = p.group_filters();
  std::vector<float> columns, turned((size_t)rows * inner), grad, sum((size_t)inner * k), part((size_t)inner * k);
  std::vector<int> images((size_t)x.d[0]);
  std::iota(images.begin(), images.end(), 0);
  if (!in_order) std::shuffle(images.begin(), images.end(), random_order());
  for (int g = 0; g < p.conv.groups; g++) {
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (int n : images) {
      im2col(p, x, n, g, columns);
      gather_y(p, dy, n, g, grad);
      for (int i = 0; i < rows; i++)
        for (int j = 0; j < inner; j++) turned[(size_t)j * rows + i] = columns[(size_t)i * inner + j];
      gemm(inner, k, rows, turned.data(), (size_t)rows, grad.data(), (size_t)k, part.data(), (size_t)k, false);
      for (size_t e = 0; e < sum.size(); e++) sum[e] += part[e];
    }
    for (int t = 0; t < p.taps(); t++) {
      int r, s;
      tap(p, t, &r, &s);
      for (int c = 0; c < p.channels; c++)
        for (int f = 0; f < k; f++) blend(dw[filter_index(p, g * k + f, c, r, s)], sum[((size_t)t * p.channels + c) * k + f]);
    }
  }
}

// A workspace holds nothing after the call.
void scribble(float *p, u64 bytes) {
  if (p) memset(p, 0xff, bytes);
}

template <class Perf, class Algo>
void heuristics(const Problem &p, Direction d, std::vector<int> order, int asked, int *returned, Perf *out) {
  if (asked < 1 || !returned || !out) bad("requestedAlgoCount is at least 1");
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return !refuses(p, d, a) && refuses(p, d, b); });
  *returned = std::min(asked, (int)order.size());
  for (int k = 0; k < *returned; k++) {
    memset(&out[k], 0, sizeof out[k]);
    out[k].algo = (Algo)order[(size_t)k];
    bool no = refuses(p, d, order[(size_t)k]);
    out[k].status = no ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;
    out[k].time = -1; // heuristics take no time
    out[k].memory = no ? 0 : workspace(p, d, order[(size_t)k]);
    out[k].determinism = deterministic(d, order[(size_t)k]) ? CUDNN_DETERMINISTIC : CUDNN_NON_DETERMINISTIC;
    out[k].mathType = p.conv.math;
  }
}

}  // namespace

SIM_API cudnnStatus_t cudnnSetConvolution2dDescriptor(cudnnConvolutionDescriptor_t d, int ph, int pw, int sh, int sw, int dh, int dw, cudnnConvolutionMode_t mode, cudnnDataType_t type) {
  DNN({
    auto &c = get<sim::Convolution>(d);
    if (ph < 0 || pw < 0 || sh < 1 || sw < 1 || dh < 1 || dw < 1) bad("padding is at least 0, stride and dilation at least 1");
    if (type != CUDNN_DATA_FLOAT) unsupported("only CUDNN_DATA_FLOAT is implemented");
    c.pad[0] = ph, c.pad[1] = pw, c.stride[0] = sh, c.stride[1] = sw, c.dilation[0] = dh, c.dilation[1] = dw, c.mode = mode, c.set = true;
  })
}

SIM_API cudnnStatus_t cudnnSetConvolutionNdDescriptor(cudnnConvolutionDescriptor_t d, int n, const int *pad, const int *stride, const int *dilation, cudnnConvolutionMode_t mode, cudnnDataType_t type) {
  if (n == 2) return cudnnSetConvolution2dDescriptor(d, pad[0], pad[1], stride[0], stride[1], dilation[0], dilation[1], mode, type);
  DNN(unsupported(format("%d spatial dimensions; 2 are implemented", n));)
}

SIM_API cudnnStatus_t cudnnSetConvolutionGroupCount(cudnnConvolutionDescriptor_t d, int groups) {
  DNN({
    if (groups < 1) bad("at least one group");
    get<sim::Convolution>(d).groups = groups;
  })
}
SIM_API cudnnStatus_t cudnnSetConvolutionMathType(cudnnConvolutionDescriptor_t d, cudnnMathType_t m) { DNN(get<sim::Convolution>(d).math = m;) }

SIM_API cudnnStatus_t cudnnGetConvolution2dForwardOutputDim(cudnnConvolutionDescriptor_t d, cudnnTensorDescriptor_t xd, cudnnFilterDescriptor_t wd, int *n, int *c, int *h, int *w) {
  DNN({
    auto &v = get<sim::Convolution>(d);
    const Tensor &x = map(xd, "x");
    const Filter &f = filter(wd);
    if (!v.set) bad("the convolution descriptor was not set");
    if (x.dim[1] != f.dim[1] * v.groups) bad("the channels of x and filter do not match");
    *n = x.dim[0], *c = f.dim[0];
    *h = out_size(x.dim[2], f.dim[2], v.pad[0], v.stride[0], v.dilation[0]);
    *w = out_size(x.dim[3], f.dim[3], v.pad[1], v.stride[1], v.dilation[1]);
  })
}

SIM_API cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t h, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w, cudnnConvolutionDescriptor_t c, cudnnTensorDescriptor_t y, const int asked, int *returned, cudnnConvolutionFwdAlgoPerf_t *out) {
  DNN({
    running(h);
    std::vector<int> order = {1, 0, 2, 4, 5, 6, 7, 3};
    heuristics<cudnnConvolutionFwdAlgoPerf_t, cudnnConvolutionFwdAlgo_t>(problem(x, w, c, y), Forward, order, asked, returned, out);
  })
}

SIM_API cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t h, cudnnFilterDescriptor_t w, cudnnTensorDescriptor_t dy, cudnnConvolutionDescriptor_t c, cudnnTensorDescriptor_t dx, const int asked, int *returned, cudnnConvolutionBwdDataAlgoPerf_t *out) {
  DNN({
    running(h);
    std::vector<int> order = {0, 1, 4, 5, 2, 3};
    heuristics<cudnnConvolutionBwdDataAlgoPerf_t, cudnnConvolutionBwdDataAlgo_t>(problem(dx, w, c, dy), BackwardData, order, asked, returned, out);
  })
}

SIM_API cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t h, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t dy, cudnnConvolutionDescriptor_t c, cudnnFilterDescriptor_t dw, const int asked, int *returned, cudnnConvolutionBwdFilterAlgoPerf_t *out) {
  DNN({
    running(h);
    std::vector<int> order = {0, 3, 1, 5, 2, 4};
    heuristics<cudnnConvolutionBwdFilterAlgoPerf_t, cudnnConvolutionBwdFilterAlgo_t>(problem(x, dw, c, dy), BackwardFilter, order, asked, returned, out);
  })
}

static void workspace_size(const Problem &p, Direction d, int algo, size_t *n) {
  if (const char *why = refuses(p, d, algo)) unsupported(format("algorithm %d: %s", algo, why));
  *n = workspace(p, d, algo);
}

SIM_API cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t h, cudnnTensorDescriptor_t x, cudnnFilterDescriptor_t w, cudnnConvolutionDescriptor_t c, cudnnTensorDescriptor_t y, cudnnConvolutionFwdAlgo_t algo, size_t *n) {
  DNN(running(h); workspace_size(problem(x, w, c, y), Forward, algo, n);)
}
SIM_API cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t h, cudnnFilterDescriptor_t w, cudnnTensorDescriptor_t dy, cudnnConvolutionDescriptor_t c, cudnnTensorDescriptor_t dx, cudnnConvolutionBwdDataAlgo_t algo, size_t *n) {
  DNN(running(h); workspace_size(problem(dx, w, c, dy), BackwardData, algo, n);)
}
SIM_API cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnnHandle_t h, cudnnTensorDescriptor_t x, cudnnTensorDescriptor_t dy, cudnnConvolutionDescriptor_t c, cudnnFilterDescriptor_t dw, cudnnConvolutionBwdFilterAlgo_t algo, size_t *n) {
  DNN(running(h); workspace_size(problem(x, dw, c, dy), BackwardFilter, algo, n);)
}

SIM_API cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t h, const void *alpha, cudnnTensorDescriptor_t xd, const void *x, cudnnFilterDescriptor_t wd, const void *w, cudnnConvolutionDescriptor_t cd, cudnnConvolutionFwdAlgo_t algo, void *space, size_t size, const void *beta,
                                              cudnnTensorDescriptor_t yd, void *y) {
  DNN({
    Handle &handle = running(h);
    Problem p = problem(xd, wd, cd, yd);
    Blend blend(alpha, beta);
    check_algorithm(p, Forward, algo, size);
    u64 used = workspace(p, Forward, algo);
    queue(handle, "cudnnConvolutionForward", {{"x", x, p.x.extent(), false}, {"w", w, p.w.bytes(), false}, {"workspace", space, used, true}, {"y", y, p.y.extent(), true}}, false, [=](const std::vector<float *> &a) {
      scribble(a[2], used);
      forward(p, a[0], a[1], a[3], blend, nullptr);
    });
  })
}

SIM_API cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t h, const void *alpha, cudnnFilterDescriptor_t wd, const void *w, cudnnTensorDescriptor_t dyd, const void *dy, cudnnConvolutionDescriptor_t cd, cudnnConvolutionBwdDataAlgo_t algo, void *space, size_t size,
                                                   const void *beta, cudnnTensorDescriptor_t dxd, void *dx) {
  DNN({
    Handle &handle = running(h);
    Problem p = problem(dxd, wd, cd, dyd);
    Blend blend(alpha, beta);
    check_algorithm(p, BackwardData, algo, size);
    u64 used = workspace(p, BackwardData, algo);
    bool ordered = deterministic(BackwardData, algo);
    queue(handle, "cudnnConvolutionBackwardData", {{"w", w, p.w.bytes(), false}, {"dy", dy, p.y.extent(), false}, {"workspace", space, used, true}, {"dx", dx, p.x.extent(), true}}, false, [=](const std::vector<float *> &a) {
      scribble(a[2], used);
      backward_data(p, a[0], a[1], a[3], blend, ordered);
    });
  })
}

SIM_API cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t h, const void *alpha, cudnnTensorDescriptor_t xd, const void *x, cudnnTensorDescriptor_t dyd, const void *dy, cudnnConvolutionDescriptor_t cd, cudnnConvolutionBwdFilterAlgo_t algo, void *space, size_t size,
                                                     const void *beta, cudnnFilterDescriptor_t dwd, void *dw) {
  DNN({
    Handle &handle = running(h);
    Problem p = problem(xd, dwd, cd, dyd);
    Blend blend(alpha, beta);
    check_algorithm(p, BackwardFilter, algo, size);
    u64 used = workspace(p, BackwardFilter, algo);
    bool ordered = deterministic(BackwardFilter, algo);
    queue(handle, "cudnnConvolutionBackwardFilter", {{"x", x, p.x.extent(), false}, {"dy", dy, p.y.extent(), false}, {"workspace", space, used, true}, {"dw", dw, p.w.bytes(), true}}, false, [=](const std::vector<float *> &a) {
      scribble(a[2], used);
      backward_filter(p, a[0], a[1], a[3], blend, ordered);
    });
  })
}

SIM_API cudnnStatus_t cudnnConvolutionBackwardBias(cudnnHandle_t h, const void *alpha, cudnnTensorDescriptor_t dyd, const void *dy, const void *beta, cudnnTensorDescriptor_t dbd, void *db) {
  DNN({
    Handle &handle = running(h);
    Tensor t = map(dyd, "dy");
    Tensor b = map(dbd, "db");
    Blend blend(alpha, beta);
    if (b.dim[0] != 1 || b.dim[1] != t.dim[1] || b.dim[2] != 1 || b.dim[3] != 1) bad("db is [1 channels 1 1], it is " + b.text());
    queue(handle, "cudnnConvolutionBackwardBias", {{"dy", dy, t.extent(), false}, {"db", db, b.extent(), true}}, false, [=](const std::vector<float *> &a) {
      View v = view(t, a[0]), o = view(b, a[1]);
      for (int c = 0; c < v.d[1]; c++) {
        float sum = 0;
        for (int n = 0; n < v.d[0]; n++)
          for (int i = 0; i < v.d[2]; i++)
            for (int j = 0; j < v.d[3]; j++) sum += v.at(n, c, i, j);
        blend(o.at(0, c, 0, 0), sum);
      }
    });
  })
}

SIM_API cudnnStatus_t cudnnConvolutionBiasActivationForward(cudnnHandle_t h, const void *a1, cudnnTensorDescriptor_t xd, const void *x, cudnnFilterDescriptor_t wd, const void *w, cudnnConvolutionDescriptor_t cd, cudnnConvolutionFwdAlgo_t algo, void *space, size_t size,
                                                            const void *a2, cudnnTensorDescriptor_t zd, const void *z, cudnnTensorDescriptor_t bd, const void *bias, cudnnActivationDescriptor_t ad, cudnnTensorDescriptor_t yd, void *y) {
  DNN({
    Handle &handle = running(h);
    Problem p = problem(xd, wd, cd, yd);
    if (getenv("GCNN_SIM_REFUSE_FUSION")) unsupported("GCNN_SIM_REFUSE_FUSION refuses it"); // to test what a caller does then
    Blend scale(a1, a2);
    Tensor b = map(bd, "bias");
    Tensor zt = map(zd, "z");
    sim::Activation act = get<sim::Activation>(ad);
    if (!act.set) bad("the activation descriptor was not set");
    if (act.mode != CUDNN_ACTIVATION_RELU && act.mode != CUDNN_ACTIVATION_IDENTITY) unsupported("the activation is relu or identity");
    if (act.nan != CUDNN_NOT_PROPAGATE_NAN) unsupported("reluNanOpt is CUDNN_NOT_PROPAGATE_NAN");
    if (act.mode == CUDNN_ACTIVATION_IDENTITY && algo != CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM) unsupported("identity needs IMPLICIT_PRECOMP_GEMM");
    if (b.dim[0] != 1 || b.dim[1] != p.filters || b.dim[2] != 1 || b.dim[3] != 1) unsupported("bias is [1 filters 1 1], it is " + b.text());
    if (b.stride[1] != 1) unsupported("the bias' second stride is 1, it is " + b.text());
    if (memcmp(zt.dim, p.y.dim, sizeof(int) * 4) || memcmp(zt.stride, p.y.stride, sizeof(int) * 4)) unsupported("z is as y: " + zt.text() + " and " + p.y.text());
    if (!z) throw DnnError(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "z is null; where alpha2 is 0 it may be y");
    check_algorithm(p, Forward, algo, size);
    u64 used = workspace(p, Forward, algo);
    bool relu = act.mode == CUDNN_ACTIVATION_RELU;
    u64 z_bytes = scale.beta == 0 ? 0 : zt.extent();
    queue(handle, "cudnnConvolutionBiasActivationForward", {{"x", x, p.x.extent(), false}, {"w", w, p.w.bytes(), false}, {"workspace", space, used, true}, {"z", z, z_bytes, false}, {"bias", bias, b.extent(), false}, {"y", y, p.y.extent(), true}}, z == y,
          [=](const std::vector<float *> &a) {
            scribble(a[2], used);
            View zv = view(zt, a[3]), bv = view(b, a[4]);
            forward(p, a[0], a[1], a[5], Blend(&scale.alpha, &scale.beta), [&](int n, float v, int f, int i, int j) {
              float r = scale.alpha * v + (zv.p ? scale.beta * zv.at(n, f, i, j) : 0) + bv.at(0, f, 0, 0);
              return !relu || r > 0 ? r : 0.0f; // 0 of NaN too: it is not propagated
            });
          });
  })
}
