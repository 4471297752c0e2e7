// Pooling, forward and backward. Which of equal maxima takes the gradient is not documented. CUDNN_POOLING_MAX_DETERMINISTIC
// gives it to the first, as TensorFlow's tests of its cuDNN kernels want it, or with GCNN_SIM_POOL_TIES=last to the last;
// CUDNN_POOLING_MAX, whose sums have no fixed order, to the other of these.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "dnn.h"

using namespace sim;

SIM_API cudnnStatus_t cudnnSetPooling2dDescriptor(cudnnPoolingDescriptor_t d, cudnnPoolingMode_t mode, cudnnNanPropagation_t nan, int wh, int ww, int ph, int pw, int sh, int sw) {
  DNN({
    if (wh < 1 || ww < 1 || sh < 1 || sw < 1 || ph < 0 || pw < 0) bad("window and stride are at least 1, padding at least 0");
    if (ph >= wh || pw >= ww) bad("padding is less than the window");
    if (mode < CUDNN_POOLING_MAX || mode > CUDNN_POOLING_MAX_DETERMINISTIC) bad("unknown mode");
    auto &p = get<sim::Pooling>(d);
    p.set = true, p.mode = mode, p.nan = nan;
    p.window[0] = wh, p.window[1] = ww, p.pad[0] = ph, p.pad[1] = pw, p.stride[0] = sh, p.stride[1] = sw;
  })
}

SIM_API cudnnStatus_t cudnnSetPoolingNdDescriptor(cudnnPoolingDescriptor_t d, const cudnnPoolingMode_t mode, const cudnnNanPropagation_t nan, int n, const int *window, const int *pad, const int *stride) {
  if (n == 2) return cudnnSetPooling2dDescriptor(d, mode, nan, window[0], window[1], pad[0], pad[1], stride[0], stride[1]);
  DNN(unsupported(format("%d spatial dimensions; 2 are implemented", n));)
}

static const sim::Pooling &pooling(cudnnPoolingDescriptor_t d) {
  auto &p = get<sim::Pooling>(d);
  if (!p.set) bad("the pooling descriptor was not set");
  return p;
}

static int out_size(const sim::Pooling &p, int k, int in) { return 1 + (in + 2 * p.pad[k] - p.window[k]) / p.stride[k]; }

SIM_API cudnnStatus_t cudnnGetPooling2dForwardOutputDim(cudnnPoolingDescriptor_t d, cudnnTensorDescriptor_t xd, int *n, int *c, int *h, int *w) {
  DNN({
    const auto &p = pooling(d);
    const Tensor &x = map(xd, "x");
    *n = x.dim[0], *c = x.dim[1], *h = out_size(p, 0, x.dim[2]), *w = out_size(p, 1, x.dim[3]);
  })
}

static void check(const sim::Pooling &p, const Tensor &x, const Tensor &y) {
  if (y.dim[0] != x.dim[0] || y.dim[1] != x.dim[1] || y.dim[2] != out_size(p, 0, x.dim[2]) || y.dim[3] != out_size(p, 1, x.dim[3]))
    bad(format("y is %s, pooling gives [%d %d %d %d]", y.text().c_str(), x.dim[0], x.dim[1], out_size(p, 0, x.dim[2]), out_size(p, 1, x.dim[3])));
}

struct Window {
  int h0, h1, w0, w1;
  int counted; // elements that an average divides by
};

static Window window(const sim::Pooling &p, const Tensor &x, int i, int j) {
  int h = i * p.stride[0] - p.pad[0], w = j * p.stride[1] - p.pad[1];
  Window v{std::max(h, 0), std::min(h + p.window[0], x.dim[2]), std::max(w, 0), std::min(w + p.window[1], x.dim[3]), 0};
  v.counted = p.mode == CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING ? p.window[0] * p.window[1] : (v.h1 - v.h0) * (v.w1 - v.w0);
  return v;
}

// Whether the last of equal maxima takes the gradient.
static bool last_takes(const sim::Pooling &p) { return settings().pool_ties_last == (p.mode == CUDNN_POOLING_MAX_DETERMINISTIC); }

static bool is_max(const sim::Pooling &p) { return p.mode == CUDNN_POOLING_MAX || p.mode == CUDNN_POOLING_MAX_DETERMINISTIC; }

template <class F>
static void each_window(const sim::Pooling &p, const Tensor &x, const Tensor &y, F f) {
  for (int n = 0; n < y.dim[0]; n++)
    for (int c = 0; c < y.dim[1]; c++)
      for (int i = 0; i < y.dim[2]; i++)
        for (int j = 0; j < y.dim[3]; j++) f(n, c, i, j, window(p, x, i, j));
}

SIM_API cudnnStatus_t cudnnPoolingForward(cudnnHandle_t h, cudnnPoolingDescriptor_t d, const void *alpha, cudnnTensorDescriptor_t xd, const void *x, const void *beta, cudnnTensorDescriptor_t yd, void *y) {
  DNN({
    Handle &handle = running(h);
    sim::Pooling p = pooling(d);
    Tensor xt = map(xd, "x");
    Tensor yt = map(yd, "y");
    check(p, xt, yt);
    Blend blend(alpha, beta);
    queue(handle, "cudnnPoolingForward", {{"x", x, xt.extent(), false}, {"y", y, yt.extent(), true}}, false, [=](const std::vector<float *> &a) {
      View v = view(xt, a[0]), o = view(yt, a[1]);
      each_window(p, xt, yt, [&](int n, int c, int i, int j, Window w) {
        float best = -INFINITY, sum = 0;
        for (int r = w.h0; r < w.h1; r++)
          for (int s = w.w0; s < w.w1; s++) {
            float e = v.at(n, c, r, s);
            best = e > best || (std::isnan(e) && p.nan == CUDNN_PROPAGATE_NAN) ? e : best;
            sum += e;
          }
        blend(o.at(n, c, i, j), is_max(p) ? best : sum / (float)w.counted);
      });
    });
  })
}

SIM_API cudnnStatus_t cudnnPoolingBackward(cudnnHandle_t h, cudnnPoolingDescriptor_t d, const void *alpha, cudnnTensorDescriptor_t yd, const void *y, cudnnTensorDescriptor_t dyd, const void *dy, cudnnTensorDescriptor_t xd, const void *x, const void *beta,
                                           cudnnTensorDescriptor_t dxd, void *dx) {
  DNN({
    Handle &handle = running(h);
    sim::Pooling p = pooling(d);
    Tensor yt = map(yd, "y");
    Tensor dyt = map(dyd, "dy");
    Tensor xt = map(xd, "x");
    Tensor dxt = map(dxd, "dx");
    check(p, xt, yt);
    if (memcmp(yt.dim, dyt.dim, sizeof(int) * 4) || memcmp(yt.stride, dyt.stride, sizeof(int) * 4)) bad("y and dy have the same shape and strides");
    if (memcmp(xt.dim, dxt.dim, sizeof(int) * 4) || memcmp(xt.stride, dxt.stride, sizeof(int) * 4)) bad("x and dx have the same shape and strides");
    Blend blend(alpha, beta);
    bool last = last_takes(p);
    queue(handle, "cudnnPoolingBackward", {{"y", y, yt.extent(), false}, {"dy", dy, dyt.extent(), false}, {"x", x, xt.extent(), false}, {"dx", dx, dxt.extent(), true}}, false, [=](const std::vector<float *> &a) {
      View yv = view(yt, a[0]), g = view(dyt, a[1]), v = view(xt, a[2]), o = view(dxt, a[3]);
      std::vector<float> sum(xt.count());
      View t = o;
      t.p = sum.data(), t.s[3] = 1, t.s[2] = t.d[3], t.s[1] = (s64)t.d[2] * t.d[3], t.s[0] = t.s[1] * t.d[1];
      each_window(p, xt, yt, [&](int n, int c, int i, int j, Window w) {
        float e = g.at(n, c, i, j);
        int hr = -1, hs = -1;
        for (int r = w.h0; r < w.h1; r++)
          for (int s = w.w0; s < w.w1; s++) {
            if (!is_max(p)) t.at(n, c, r, s) += e / (float)w.counted;
            else if (v.at(n, c, r, s) == yv.at(n, c, i, j) && (hr < 0 || last)) hr = r, hs = s;
          }
        if (hr >= 0) t.at(n, c, hr, hs) += e;
      });
      for (int n = 0; n < o.d[0]; n++)
        for (int c = 0; c < o.d[1]; c++)
          for (int i = 0; i < o.d[2]; i++)
            for (int j = 0; j < o.d[3]; j++) blend(o.at(n, c, i, j), t.at(n, c, i, j));
    });
  })
}
