// The cuDNN stand-in: results against plain loops in double, gradients against the adjoint, and every check of arguments.
#include <cudnn.h>

#include "harness.h"

struct Dnn {
  cudnnHandle_t h;
  CUstream s;
  Dnn() {
    context();
    OK(cudnnCreate(&h));
    OK(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    OK(cudnnSetStream(h, (cudaStream_t)s));
  }
  void sync() { OK(cuStreamSynchronize(s)); }
};

static const float one = 1, zero = 0;

static cudnnTensorDescriptor_t tensor(cudnnTensorFormat_t f, int n, int c, int h, int w) {
  cudnnTensorDescriptor_t d;
  OK(cudnnCreateTensorDescriptor(&d));
  OK(cudnnSetTensor4dDescriptor(d, f, CUDNN_DATA_FLOAT, n, c, h, w));
  return d;
}

static cudnnFilterDescriptor_t filter(cudnnTensorFormat_t f, int k, int c, int h, int w) {
  cudnnFilterDescriptor_t d;
  OK(cudnnCreateFilterDescriptor(&d));
  OK(cudnnSetFilter4dDescriptor(d, CUDNN_DATA_FLOAT, f, k, c, h, w));
  return d;
}

struct Shape {
  int n, c, h, w, k, r, s, ph, pw, sh, sw, dh, dw, groups;
  int oh() const { return 1 + (h + 2 * ph - ((r - 1) * dh + 1)) / sh; }
  int ow() const { return 1 + (w + 2 * pw - ((s - 1) * dw + 1)) / sw; }
};

// Where element (n, c, h, w) of a packed tensor lies.
static size_t at(cudnnTensorFormat_t f, int C, int H, int W, int n, int c, int h, int w) {
  return f == CUDNN_TENSOR_NHWC ? (((size_t)n * H + h) * W + w) * C + c : (((size_t)n * C + c) * H + h) * W + w;
}

static cudnnConvolutionDescriptor_t convolution(const Shape &p, cudnnMathType_t math = CUDNN_FMA_MATH) {
  cudnnConvolutionDescriptor_t d;
  OK(cudnnCreateConvolutionDescriptor(&d));
  OK(cudnnSetConvolution2dDescriptor(d, p.ph, p.pw, p.sh, p.sw, p.dh, p.dw, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
  OK(cudnnSetConvolutionGroupCount(d, p.groups));
  OK(cudnnSetConvolutionMathType(d, math));
  return d;
}

// A convolution with its memory.
struct Run : Dnn {
  Shape p;
  cudnnTensorFormat_t f;
  std::vector<float> x, w, dy;
  CUdeviceptr gx, gw, gy, gdy, space;
  size_t space_bytes = 1 << 20;
  cudnnTensorDescriptor_t xd, yd;
  cudnnFilterDescriptor_t wd;
  cudnnConvolutionDescriptor_t cd;
  Run(Shape p, cudnnTensorFormat_t f, cudnnMathType_t math = CUDNN_FMA_MATH) : p(p), f(f) {
    size_t ny = (size_t)p.n * p.k * p.oh() * p.ow();
    x = numbers((size_t)p.n * p.c * p.h * p.w, 1), w = numbers((size_t)p.k * (p.c / p.groups) * p.r * p.s, 2), dy = numbers(ny, 3);
    gx = upload(x), gw = upload(w), gdy = upload(dy), gy = allocate(ny * 4), space = allocate(space_bytes);
    xd = tensor(f, p.n, p.c, p.h, p.w), yd = tensor(f, p.n, p.k, p.oh(), p.ow()), wd = filter(f, p.k, p.c / p.groups, p.r, p.s), cd = convolution(p, math);
  }
  int forward(int algo) { return cudnnConvolutionForward(h, &one, xd, (void *)gx, wd, (void *)gw, cd, (cudnnConvolutionFwdAlgo_t)algo, (void *)space, space_bytes, &zero, yd, (void *)gy); }
  int data(int algo, CUdeviceptr dx) { return cudnnConvolutionBackwardData(h, &one, wd, (void *)gw, yd, (void *)gdy, cd, (cudnnConvolutionBwdDataAlgo_t)algo, (void *)space, space_bytes, &zero, xd, (void *)dx); }
  int weights(int algo, CUdeviceptr dw) { return cudnnConvolutionBackwardFilter(h, &one, xd, (void *)gx, yd, (void *)gdy, cd, (cudnnConvolutionBwdFilterAlgo_t)algo, (void *)space, space_bytes, &zero, wd, (void *)dw); }
  // y by plain loops, or the gradients where dx and dw are given
  template <class F>
  void each(F f_) {
    int cg = p.c / p.groups, kg = p.k / p.groups;
    for (int n = 0; n < p.n; n++)
      for (int k = 0; k < p.k; k++)
        for (int i = 0; i < p.oh(); i++)
          for (int j = 0; j < p.ow(); j++)
            for (int c = 0; c < cg; c++)
              for (int r = 0; r < p.r; r++)
                for (int s_ = 0; s_ < p.s; s_++) {
                  int hh = i * p.sh - p.ph + r * p.dh, ww = j * p.sw - p.pw + s_ * p.dw;
                  if (hh < 0 || hh >= p.h || ww < 0 || ww >= p.w) continue;
                  f_(at(f, p.c, p.h, p.w, n, k / kg * cg + c, hh, ww), at(f, cg, p.r, p.s, k, c, r, s_), at(f, p.k, p.oh(), p.ow(), n, k, i, j));
                }
  }
};

static void close(const std::vector<float> &got, const std::vector<double> &want, const std::vector<double> &magnitude, double terms) {
  CHECK(got.size() == want.size());
  for (size_t i = 0; i < got.size(); i++)
    if (!(std::fabs(got[i] - want[i]) <= terms * std::ldexp(magnitude[i], -24))) fail(__LINE__, "element " + std::to_string(i) + " is " + std::to_string(got[i]) + ", not " + std::to_string(want[i]));
}

static void convolve(Shape p, cudnnTensorFormat_t f) {
  Run r(p, f);
  std::vector<double> y(r.dy.size()), my(y.size()), dx(r.x.size()), mx(dx.size()), dw(r.w.size()), mw(dw.size());
  r.each([&](size_t a, size_t b, size_t o) {
    y[o] += (double)r.x[a] * r.w[b], my[o] += std::fabs((double)r.x[a] * r.w[b]);
    dx[a] += (double)r.dy[o] * r.w[b], mx[a] += std::fabs((double)r.dy[o] * r.w[b]);
    dw[b] += (double)r.dy[o] * r.x[a], mw[b] += std::fabs((double)r.dy[o] * r.x[a]);
  });
  CUdeviceptr gdx = allocate(r.x.size() * 4), gdw = allocate(r.w.size() * 4);
  for (int algo : {0, 1}) {
    OK(r.forward(algo));
    OK(r.data(algo, gdx));
    OK(r.weights(algo, gdw));
    r.sync();
    close(download(r.gy, y.size()), y, my, p.c * p.r * p.s + 2);
    close(download(gdx, dx.size()), dx, mx, p.k * p.r * p.s + 2);
    close(download(gdw, dw.size()), dw, mw, p.n * p.oh() * p.ow() + 2);
  }
}

static const Shape small = {2, 4, 7, 6, 6, 3, 3, 0, 0, 1, 1, 1, 1, 1};
TEST("convolution NHWC", [] { convolve(small, CUDNN_TENSOR_NHWC); });
TEST("convolution NCHW", [] { convolve(small, CUDNN_TENSOR_NCHW); });
TEST("convolution with stride and padding", [] { convolve({3, 3, 8, 9, 5, 3, 2, 1, 1, 2, 3, 1, 1, 1}, CUDNN_TENSOR_NHWC); });
TEST("convolution in groups", [] { convolve({2, 6, 6, 6, 4, 2, 3, 0, 1, 1, 1, 1, 1, 2}, CUDNN_TENSOR_NHWC); });
TEST("depthwise convolution", [] { convolve({2, 5, 6, 6, 10, 3, 3, 1, 1, 1, 1, 1, 1, 5}, CUDNN_TENSOR_NHWC); });
TEST("dilated convolution", [] { convolve({2, 3, 9, 9, 4, 3, 3, 2, 1, 1, 2, 2, 3, 1}, CUDNN_TENSOR_NCHW); });
TEST("dilation in NHWC", [] {
  Run r({2, 3, 9, 9, 4, 3, 3, 0, 0, 1, 1, 2, 2, 1}, CUDNN_TENSOR_NHWC);
  EXPECT(CUDNN_STATUS_NOT_SUPPORTED, r.forward(1));
}, "dilation is 1 in NHWC");
TEST("heuristics", [] {
  Run r(small, CUDNN_TENSOR_NHWC);
  cudnnConvolutionBwdFilterAlgoPerf_t perf[10];
  int n;
  OK(cudnnGetConvolutionBackwardFilterAlgorithm_v7(r.h, r.xd, r.yd, r.cd, r.wd, 10, &n, perf));
  CHECK(n == 6 && perf[0].status == 0 && perf[0].determinism == CUDNN_NON_DETERMINISTIC); // the first is not what a careful caller takes
  CHECK(perf[1].algo == 1 && perf[1].determinism == CUDNN_DETERMINISTIC && perf[1].memory > 0 && perf[1].mathType == CUDNN_FMA_MATH);
  CHECK(perf[2].status == CUDNN_STATUS_NOT_SUPPORTED);
  size_t bytes;
  OK(cudnnGetConvolutionBackwardFilterWorkspaceSize(r.h, r.xd, r.yd, r.cd, r.wd, perf[1].algo, &bytes));
  CHECK(bytes == perf[1].memory);
});
TEST("algorithms that are not deterministic", [] {
  Run r({16, 4, 12, 12, 6, 3, 3, 0, 0, 1, 1, 1, 1, 1}, CUDNN_TENSOR_NHWC);
  CUdeviceptr dw = allocate(r.w.size() * 4);
  auto run = [&](int algo) {
    OK(r.weights(algo, dw));
    r.sync();
    return download(dw, r.w.size());
  };
  CHECK(run(1) == run(1));
  auto first = run(0);
  bool differs = false;
  for (int i = 0; i < 20; i++) differs |= run(0) != first;
  CHECK(differs);
});
TEST("TF32 unless forbidden", [] {
  Run exact(small, CUDNN_TENSOR_NHWC), rounded(small, CUDNN_TENSOR_NHWC, CUDNN_DEFAULT_MATH);
  OK(exact.forward(1));
  OK(rounded.forward(1));
  exact.sync();
  rounded.sync();
  auto a = download(exact.gy, exact.dy.size()), b = download(rounded.gy, exact.dy.size());
  double worst = 0;
  for (size_t i = 0; i < a.size(); i++) worst = std::max(worst, (double)std::fabs(a[i] - b[i]));
  CHECK(worst > 1e-5 && worst < 1e-2);
});
TEST("a workspace that is too small", [] {
  Run r(small, CUDNN_TENSOR_NHWC);
  r.space_bytes = 16;
  EXPECT(CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT, r.forward(1));
}, "a workspace of 16 bytes");
TEST("a workspace that lies in another tensor", [] {
  Run r(small, CUDNN_TENSOR_NHWC);
  r.space = r.gx;
  EXPECT(CUDNN_STATUS_BAD_PARAM, r.forward(1));
}, "workspace and x overlap");
TEST("a workspace that is overwritten", [] {
  Run r(small, CUDNN_TENSOR_NHWC);
  float v = 1;
  OK(cuMemcpyHtoD(r.space, &v, 4));
  OK(r.forward(1));
  r.sync();
  CHECK(std::isnan(download(r.space, 1)[0]));
});
TEST("y of another shape", [] {
  Run r(small, CUDNN_TENSOR_NHWC);
  r.yd = tensor(CUDNN_TENSOR_NHWC, 2, 6, 5, 5);
  EXPECT(CUDNN_STATUS_BAD_PARAM, r.forward(1));
}, "the convolution gives [2 6 5 4]");
TEST("channels that do not match", [] {
  Run r(small, CUDNN_TENSOR_NHWC);
  r.wd = filter(CUDNN_TENSOR_NHWC, 6, 3, 3, 3);
  EXPECT(CUDNN_STATUS_BAD_PARAM, r.forward(1));
}, "x has 4 channels, the filter 3");
TEST("layouts that do not match", [] {
  Run r(small, CUDNN_TENSOR_NHWC);
  r.wd = filter(CUDNN_TENSOR_NCHW, 6, 4, 3, 3);
  EXPECT(CUDNN_STATUS_NOT_SUPPORTED_LAYOUT, r.forward(1));
}, "packed in the filter's layout");
TEST("strides that are not packed", [] {
  Run r(small, CUDNN_TENSOR_NHWC);
  OK(cudnnSetTensor4dDescriptorEx(r.xd, CUDNN_DATA_FLOAT, 2, 4, 7, 6, 200, 1, 28, 4));
  EXPECT(CUDNN_STATUS_NOT_SUPPORTED_LAYOUT, r.forward(1));
}, "packed");
TEST("misaligned and null pointers", [] {
  Run r(small, CUDNN_TENSOR_NHWC);
  r.gx += 4;
  EXPECT(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, r.forward(1));
  r.gx = 0;
  EXPECT(CUDNN_STATUS_BAD_PARAM_NULL_POINTER, r.forward(1));
}, "x is null");
TEST("too little memory behind a pointer", [] {
  Run r(small, CUDNN_TENSOR_NHWC);
  r.gy = allocate(16);
  OK(r.forward(1));
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamSynchronize(r.s));
}, "cudnnConvolutionForward, y");
TEST("descriptors that were not set or destroyed", [] {
  Run r(small, CUDNN_TENSOR_NHWC);
  cudnnTensorDescriptor_t unset;
  OK(cudnnCreateTensorDescriptor(&unset));
  std::swap(r.xd, unset);
  EXPECT(CUDNN_STATUS_BAD_PARAM, r.forward(1));
  std::swap(r.xd, unset);
  OK(cudnnDestroyConvolutionDescriptor(r.cd));
  EXPECT(CUDNN_STATUS_BAD_PARAM, r.forward(1));
}, "none of the living cuDNN convolution descriptors");
TEST("an unknown algorithm", [] {
  Run r(small, CUDNN_TENSOR_NHWC);
  EXPECT(CUDNN_STATUS_NOT_SUPPORTED, r.forward(6));
}, "the algorithm is not implemented");
TEST("refused convolutions", [] {
  setenv("GCNN_SIM_REFUSE_CONVOLUTION", "nhwc", 1);
  Run r(small, CUDNN_TENSOR_NHWC), q(small, CUDNN_TENSOR_NCHW);
  EXPECT(CUDNN_STATUS_NOT_SUPPORTED, r.forward(1));
  OK(q.forward(1));
}, "GCNN_SIM_REFUSE_CONVOLUTION refuses");
TEST("convolution is captured", [] {
  Run r(small, CUDNN_TENSOR_NHWC);
  CUgraph g;
  CUgraphExec e;
  OK(cuStreamBeginCapture(r.s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  OK(r.forward(1));
  OK(cuStreamEndCapture(r.s, &g));
  OK(cuGraphInstantiateWithFlags(&e, g, 0));
  CHECK(std::isnan(download(r.gy, 1)[0]));
  OK(cuGraphLaunch(e, r.s));
  r.sync();
  CHECK(!std::isnan(download(r.gy, 1)[0]));
});
// A convolution with bias and activation in one call.
struct Fused : Run {
  std::vector<float> bias = numbers(6, 4);
  CUdeviceptr gb = upload(bias), gz = allocate(dy.size() * 4);
  cudnnTensorDescriptor_t bd = tensor(CUDNN_TENSOR_NHWC, 1, 6, 1, 1), zd = yd;
  cudnnActivationDescriptor_t a;
  Fused(cudnnActivationMode_t mode, cudnnNanPropagation_t nan = CUDNN_NOT_PROPAGATE_NAN) : Run(small, CUDNN_TENSOR_NHWC) {
    OK(cudnnCreateActivationDescriptor(&a));
    OK(cudnnSetActivationDescriptor(a, mode, nan, 0));
  }
  int call(int algo, const float *alpha2 = &zero, CUdeviceptr z = 0) {
    return cudnnConvolutionBiasActivationForward(h, &one, xd, (void *)gx, wd, (void *)gw, cd, (cudnnConvolutionFwdAlgo_t)algo, (void *)space, space_bytes, alpha2, zd, (void *)(z ? z : gz), bd, (void *)gb, a, yd, (void *)gz);
  }
};
TEST("bias and activation in the convolution", [] {
  for (auto mode : {CUDNN_ACTIVATION_RELU, CUDNN_ACTIVATION_IDENTITY}) {
    Fused r(mode);
    OK(r.forward(1));
    OK(r.call(1));
    r.sync();
    auto y = download(r.gy, r.dy.size()), z = download(r.gz, r.dy.size());
    for (size_t i = 0; i < y.size(); i++) CHECK(z[i] == (mode == CUDNN_ACTIVATION_RELU ? std::max(y[i] + r.bias[i % 6], 0.0f) : y[i] + r.bias[i % 6]));
  }
});
TEST("something added in the convolution", [] {
  Fused r(CUDNN_ACTIVATION_RELU);
  OK(r.forward(0));
  OK(r.call(0, &one, r.gdy));
  r.sync();
  auto y = download(r.gy, r.dy.size()), z = download(r.gz, r.dy.size());
  for (size_t i = 0; i < y.size(); i++) CHECK(z[i] == std::max(y[i] + r.dy[i] + r.bias[i % 6], 0.0f));
});
TEST("fused relu makes 0 of NaN", [] {
  Fused r(CUDNN_ACTIVATION_RELU);
  r.gw = upload(std::vector<float>(r.w.size(), NAN));
  OK(r.call(1));
  r.sync();
  for (float v : download(r.gz, r.dy.size())) CHECK(v == 0);
});
TEST("identity with another algorithm", [] {
  Fused r(CUDNN_ACTIVATION_IDENTITY);
  EXPECT(CUDNN_STATUS_NOT_SUPPORTED, r.call(0));
}, "identity needs IMPLICIT_PRECOMP_GEMM");
TEST("fused relu that propagates NaN", [] {
  Fused r(CUDNN_ACTIVATION_RELU, CUDNN_PROPAGATE_NAN);
  EXPECT(CUDNN_STATUS_NOT_SUPPORTED, r.call(1));
}, "reluNanOpt is CUDNN_NOT_PROPAGATE_NAN");
TEST("tanh in the convolution", [] {
  Fused r(CUDNN_ACTIVATION_TANH);
  EXPECT(CUDNN_STATUS_NOT_SUPPORTED, r.call(1));
}, "relu or identity");
TEST("z of another layout", [] {
  Fused r(CUDNN_ACTIVATION_RELU);
  r.zd = tensor(CUDNN_TENSOR_NCHW, r.p.n, r.p.k, r.p.oh(), r.p.ow());
  EXPECT(CUDNN_STATUS_NOT_SUPPORTED, r.call(1));
}, "z is as y");
TEST("a bias of another size", [] {
  Fused r(CUDNN_ACTIVATION_RELU);
  r.bd = tensor(CUDNN_TENSOR_NHWC, 1, 5, 1, 1);
  EXPECT(CUDNN_STATUS_NOT_SUPPORTED, r.call(1));
}, "bias is [1 filters 1 1]");
TEST("a fused convolution without its workspace", [] {
  Fused r(CUDNN_ACTIVATION_RELU);
  r.space_bytes = 64;
  EXPECT(CUDNN_STATUS_BAD_PARAM_SIZE_INSUFFICIENT, r.call(1));
}, "a workspace of 64 bytes");
TEST("refused fusion", [] {
  setenv("GCNN_SIM_REFUSE_FUSION", "1", 1);
  Fused r(CUDNN_ACTIVATION_RELU);
  EXPECT(CUDNN_STATUS_NOT_SUPPORTED, r.call(1));
}, "GCNN_SIM_REFUSE_FUSION refuses it");

// dx of a 1×2 map of equal elements under one window.
static std::vector<float> tie(cudnnPoolingMode_t mode) {
  Dnn d;
  cudnnPoolingDescriptor_t p;
  OK(cudnnCreatePoolingDescriptor(&p));
  OK(cudnnSetPooling2dDescriptor(p, mode, CUDNN_PROPAGATE_NAN, 1, 2, 0, 0, 1, 2));
  auto xd = tensor(CUDNN_TENSOR_NHWC, 1, 1, 1, 2), yd = tensor(CUDNN_TENSOR_NHWC, 1, 1, 1, 1);
  CUdeviceptr x = upload({3, 3}), y = upload({3}), dy = upload({5}), dx = allocate(8);
  OK(cudnnPoolingBackward(d.h, p, &one, yd, (void *)y, yd, (void *)dy, xd, (void *)x, &zero, xd, (void *)dx));
  d.sync();
  return download(dx, 2);
}
TEST("the first of equal maxima", [] {
  CHECK((tie(CUDNN_POOLING_MAX_DETERMINISTIC) == std::vector<float>{5, 0}));
  CHECK((tie(CUDNN_POOLING_MAX) == std::vector<float>{0, 5}));
});
TEST("the last of equal maxima", [] {
  setenv("GCNN_SIM_POOL_TIES", "last", 1);
  CHECK((tie(CUDNN_POOLING_MAX_DETERMINISTIC) == std::vector<float>{0, 5}));
});
TEST("pooling", [] {
  Dnn d;
  for (auto mode : {CUDNN_POOLING_MAX_DETERMINISTIC, CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING, CUDNN_POOLING_AVERAGE_COUNT_EXCLUDE_PADDING}) {
    auto x = numbers(2 * 3 * 7 * 8, 5), dy = numbers(2 * 3 * 4 * 4, 6);
    cudnnPoolingDescriptor_t p;
    OK(cudnnCreatePoolingDescriptor(&p));
    OK(cudnnSetPooling2dDescriptor(p, mode, CUDNN_PROPAGATE_NAN, 3, 2, 1, 0, 2, 2));
    auto xd = tensor(CUDNN_TENSOR_NHWC, 2, 3, 7, 8), yd = tensor(CUDNN_TENSOR_NHWC, 2, 3, 4, 4);
    int n, c, h, w;
    OK(cudnnGetPooling2dForwardOutputDim(p, xd, &n, &c, &h, &w));
    CHECK(n == 2 && c == 3 && h == 4 && w == 4);
    CUdeviceptr gx = upload(x), gy = allocate(dy.size() * 4), gdy = upload(dy), gdx = allocate(x.size() * 4);
    OK(cudnnPoolingForward(d.h, p, &one, xd, (void *)gx, &zero, yd, (void *)gy));
    OK(cudnnPoolingBackward(d.h, p, &one, yd, (void *)gy, yd, (void *)gdy, xd, (void *)gx, &zero, xd, (void *)gdx));
    d.sync();
    auto y = download(gy, dy.size()), dx = download(gdx, x.size());
    std::vector<double> want(dx.size());
    for (int b = 0; b < 2; b++)
      for (int k = 0; k < 3; k++)
        for (int i = 0; i < 4; i++)
          for (int j = 0; j < 4; j++) {
            double sum = 0, best = -INFINITY;
            size_t winner = 0, o = at(CUDNN_TENSOR_NHWC, 3, 4, 4, b, k, i, j);
            int count = 0;
            for (int pass = 0; pass < 2; pass++)
              for (int r = 0; r < 3; r++)
                for (int s = 0; s < 2; s++) {
                  int hh = 2 * i - 1 + r, ww = 2 * j + s;
                  if (hh < 0 || hh >= 7) continue;
                  size_t e = at(CUDNN_TENSOR_NHWC, 3, 7, 8, b, k, hh, ww);
                  if (!pass) {
                    sum += x[e], count++;
                    if (x[e] > best) best = x[e], winner = e;
                  } else if (mode != CUDNN_POOLING_MAX_DETERMINISTIC) {
                    want[e] += dy[o] / (mode == CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING ? 6 : count);
                  }
                }
            if (mode == CUDNN_POOLING_MAX_DETERMINISTIC) want[winner] += dy[o];
            double v = mode == CUDNN_POOLING_MAX_DETERMINISTIC ? best : sum / (mode == CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING ? 6 : count);
            CHECK(std::fabs(y[o] - v) < 1e-6);
          }
    for (size_t i = 0; i < dx.size(); i++) CHECK(std::fabs(dx[i] - want[i]) < 1e-6);
  }
});
TEST("pooling with too much padding", [] {
  Dnn d;
  cudnnPoolingDescriptor_t p;
  OK(cudnnCreatePoolingDescriptor(&p));
  EXPECT(CUDNN_STATUS_BAD_PARAM, cudnnSetPooling2dDescriptor(p, CUDNN_POOLING_MAX, CUDNN_PROPAGATE_NAN, 2, 2, 2, 0, 2, 2));
}, "padding is less than the window");
TEST("pooling in place", [] {
  Dnn d;
  cudnnPoolingDescriptor_t p;
  OK(cudnnCreatePoolingDescriptor(&p));
  OK(cudnnSetPooling2dDescriptor(p, CUDNN_POOLING_MAX, CUDNN_PROPAGATE_NAN, 1, 1, 0, 0, 1, 1));
  auto xd = tensor(CUDNN_TENSOR_NHWC, 1, 1, 4, 4);
  CUdeviceptr x = upload(numbers(16, 7));
  EXPECT(CUDNN_STATUS_BAD_PARAM, cudnnPoolingForward(d.h, p, &one, xd, (void *)x, &zero, xd, (void *)x));
}, "y and x overlap");

TEST("softmax", [] {
  Dnn d;
  auto x = numbers(5 * 7, 8), dy = numbers(5 * 7, 9);
  auto xd = tensor(CUDNN_TENSOR_NHWC, 5, 7, 1, 1);
  CUdeviceptr gx = upload(x), gdy = upload(dy), gdx = allocate(140);
  OK(cudnnSoftmaxForward(d.h, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_CHANNEL, &one, xd, (void *)gx, &zero, xd, (void *)gx));
  OK(cudnnSoftmaxBackward(d.h, CUDNN_SOFTMAX_ACCURATE, CUDNN_SOFTMAX_MODE_CHANNEL, &one, xd, (void *)gx, xd, (void *)gdy, &zero, xd, (void *)gdx));
  d.sync();
  auto y = download(gx, 35), dx = download(gdx, 35);
  for (int r = 0; r < 5; r++) {
    double sum = 0, dot = 0;
    for (int c = 0; c < 7; c++) sum += std::exp((double)x[r * 7 + c]);
    for (int c = 0; c < 7; c++) dot += std::exp((double)x[r * 7 + c]) / sum * dy[r * 7 + c];
    for (int c = 0; c < 7; c++) {
      double p = std::exp((double)x[r * 7 + c]) / sum;
      CHECK(std::fabs(y[r * 7 + c] - p) < 1e-6 && std::fabs(dx[r * 7 + c] - p * (dy[r * 7 + c] - dot)) < 1e-6);
    }
  }
});
TEST("activation", [] {
  Dnn d;
  auto x = numbers(64, 10), dy = numbers(64, 11);
  auto t = tensor(CUDNN_TENSOR_NHWC, 1, 64, 1, 1);
  cudnnActivationDescriptor_t a;
  OK(cudnnCreateActivationDescriptor(&a));
  for (auto mode : {CUDNN_ACTIVATION_SIGMOID, CUDNN_ACTIVATION_RELU, CUDNN_ACTIVATION_TANH, CUDNN_ACTIVATION_ELU}) {
    OK(cudnnSetActivationDescriptor(a, mode, CUDNN_PROPAGATE_NAN, 0.5));
    CUdeviceptr gx = upload(x), gy = allocate(256), gdy = upload(dy);
    OK(cudnnActivationForward(d.h, a, &one, t, (void *)gx, &zero, t, (void *)gy));
    OK(cudnnActivationBackward(d.h, a, &one, t, (void *)gy, t, (void *)gdy, t, (void *)gx, &zero, t, (void *)gdy));
    d.sync();
    auto y = download(gy, 64), dx = download(gdy, 64);
    auto f = [&](double v) { return mode == CUDNN_ACTIVATION_SIGMOID ? 1 / (1 + std::exp(-v)) : mode == CUDNN_ACTIVATION_RELU ? std::max(v, 0.0) : mode == CUDNN_ACTIVATION_TANH ? std::tanh(v) : v > 0 ? v : 0.5 * std::expm1(v); };
    for (int i = 0; i < 64; i++) {
      double slope = (f(x[i] + 1e-6) - f(x[i] - 1e-6)) / 2e-6;
      CHECK(std::fabs(y[i] - f(x[i])) < 1e-6 && std::fabs(dx[i] - slope * dy[i]) < 1e-5);
    }
  }
});
TEST("batch normalisation", [] {
  Dnn d;
  const int N = 4, C = 3, H = 2, W = 3, m = N * H * W;
  auto x = numbers(N * C * H * W, 12), dy = numbers(N * C * H * W, 13), scale = numbers(C, 14), bias = numbers(C, 15);
  auto xd = tensor(CUDNN_TENSOR_NHWC, N, C, H, W);
  cudnnTensorDescriptor_t pd;
  OK(cudnnCreateTensorDescriptor(&pd));
  OK(cudnnDeriveBNTensorDescriptor(pd, xd, CUDNN_BATCHNORM_SPATIAL));
  CUdeviceptr gx = upload(x), gy = allocate(x.size() * 4), gdy = upload(dy), gdx = allocate(x.size() * 4), gs = upload(scale), gb = upload(bias), rm = upload({1, 1, 1}), rv = upload({2, 2, 2}), sm = allocate(12), si = allocate(12), ds = allocate(12), db = allocate(12);
  const double epsilon = 1e-3;
  OK(cudnnBatchNormalizationForwardTraining(d.h, CUDNN_BATCHNORM_SPATIAL, &one, &zero, xd, (void *)gx, xd, (void *)gy, pd, (void *)gs, (void *)gb, 0.25, (void *)rm, (void *)rv, epsilon, (void *)sm, (void *)si));
  OK(cudnnBatchNormalizationBackward(d.h, CUDNN_BATCHNORM_SPATIAL, &one, &zero, &one, &zero, xd, (void *)gx, xd, (void *)gdy, xd, (void *)gdx, pd, (void *)gs, (void *)ds, (void *)db, epsilon, (void *)sm, (void *)si));
  d.sync();
  auto y = download(gy, x.size()), dx = download(gdx, x.size()), mean = download(rm, 3), variance = download(rv, 3), dscale = download(ds, 3), dbias = download(db, 3);
  for (int c = 0; c < C; c++) {
    double mu = 0, var = 0, sb = 0, ss = 0;
    for (int i = 0; i < m; i++) mu += x[i * C + c] / m;
    for (int i = 0; i < m; i++) var += (x[i * C + c] - mu) * (x[i * C + c] - mu) / m;
    double inverse = 1 / std::sqrt(var + epsilon);
    for (int i = 0; i < m; i++) sb += dy[i * C + c], ss += dy[i * C + c] * (x[i * C + c] - mu) * inverse;
    for (int i = 0; i < m; i++) {
      double hat = (x[i * C + c] - mu) * inverse;
      CHECK(std::fabs(y[i * C + c] - (hat * scale[c] + bias[c])) < 1e-5);
      CHECK(std::fabs(dx[i * C + c] - scale[c] * inverse * (dy[i * C + c] - sb / m - hat * ss / m)) < 1e-5);
    }
    CHECK(std::fabs(mean[c] - (0.75 + 0.25 * mu)) < 1e-6 && std::fabs(variance[c] - (1.5 + 0.25 * var * m / (m - 1))) < 1e-6); // the unbiased variance
    CHECK(std::fabs(dscale[c] - ss) < 1e-5 && std::fabs(dbias[c] - sb) < 1e-5);
  }
  OK(cudnnBatchNormalizationForwardInference(d.h, CUDNN_BATCHNORM_SPATIAL, &one, &zero, xd, (void *)gx, xd, (void *)gy, pd, (void *)gs, (void *)gb, (void *)rm, (void *)rv, epsilon));
  d.sync();
  y = download(gy, x.size());
  for (size_t i = 0; i < x.size(); i++) CHECK(std::fabs(y[i] - ((x[i] - mean[i % 3]) / std::sqrt(variance[i % 3] + epsilon) * scale[i % 3] + bias[i % 3])) < 1e-5);
});
TEST("local response normalisation", [] {
  Dnn d;
  auto x = numbers(2 * 8, 16), dy = numbers(2 * 8, 17);
  auto t = tensor(CUDNN_TENSOR_NHWC, 2, 8, 1, 1);
  cudnnLRNDescriptor_t l;
  OK(cudnnCreateLRNDescriptor(&l));
  OK(cudnnSetLRNDescriptor(l, 5, 0.5, 0.75, 2));
  auto f = [](const std::vector<double> &v, int row, int c) {
    double s = 0;
    for (int q = std::max(c - 2, 0); q <= std::min(c + 2, 7); q++) s += v[row * 8 + q] * v[row * 8 + q];
    return v[row * 8 + c] * std::pow(2 + 0.1 * s, -0.75);
  };
  CUdeviceptr gx = upload(x), gy = allocate(64), gdy = upload(dy), gdx = allocate(64);
  OK(cudnnLRNCrossChannelForward(d.h, l, CUDNN_LRN_CROSS_CHANNEL_DIM1, &one, t, (void *)gx, &zero, t, (void *)gy));
  OK(cudnnLRNCrossChannelBackward(d.h, l, CUDNN_LRN_CROSS_CHANNEL_DIM1, &one, t, (void *)gy, t, (void *)gdy, t, (void *)gx, &zero, t, (void *)gdx));
  d.sync();
  auto y = download(gy, 16), dx = download(gdx, 16);
  std::vector<double> v(x.begin(), x.end());
  for (int i = 0; i < 16; i++) {
    CHECK(std::fabs(y[i] - f(v, i / 8, i % 8)) < 1e-6);
    double slope = 0;
    for (int c = 0; c < 8; c++) {
      auto up = v, down = v;
      up[i] += 1e-5, down[i] -= 1e-5;
      slope += dy[i / 8 * 8 + c] * (f(up, i / 8, c) - f(down, i / 8, c)) / 2e-5;
    }
    CHECK(std::fabs(dx[i] - slope) < 1e-5);
  }
});
TEST("adding a bias, and its gradient", [] {
  Dnn d;
  auto y = numbers(2 * 3 * 4, 18), b = numbers(3, 19);
  auto yd = tensor(CUDNN_TENSOR_NHWC, 2, 3, 2, 2), bd = tensor(CUDNN_TENSOR_NHWC, 1, 3, 1, 1);
  CUdeviceptr gy = upload(y), gb = upload(b), gdb = allocate(12);
  OK(cudnnConvolutionBackwardBias(d.h, &one, yd, (void *)gy, &zero, bd, (void *)gdb));
  OK(cudnnAddTensor(d.h, &one, bd, (void *)gb, &one, yd, (void *)gy));
  d.sync();
  auto z = download(gy, y.size()), db = download(gdb, 3);
  for (int c = 0; c < 3; c++) {
    double sum = 0;
    for (size_t i = (size_t)c; i < y.size(); i += 3) {
      CHECK(z[i] == y[i] + b[(size_t)c]);
      sum += y[i];
    }
    CHECK(std::fabs(db[(size_t)c] - sum) < 1e-6);
  }
});
TEST("no context", [] {
  cudnnHandle_t h;
  OK(cuInit(0));
  EXPECT(CUDNN_STATUS_NOT_INITIALIZED, cudnnCreate(&h));
}, "no context is current");
TEST("what is not implemented says so", [] {
  Dnn d;
  EXPECT(CUDNN_STATUS_NOT_SUPPORTED, cudnnDropoutGetStatesSize(d.h, nullptr));
}, "cudnnDropoutGetStatesSize is not implemented");

int main(int, char **) { return run_all(); }
