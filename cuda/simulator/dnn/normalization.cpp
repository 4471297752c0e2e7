// Batch normalisation (training, inference, backward) and local response normalisation across channels.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "dnn.h"

using namespace sim;

namespace {

// The tensors of a batch normalisation: x, y and the parameters, one for each channel (spatial) or for each place.
struct Batch {
  Tensor x, params;
  bool spatial;
  int groups() const { return spatial ? x.dim[1] : x.dim[1] * x.dim[2] * x.dim[3]; }
};

Batch batch(cudnnBatchNormMode_t mode, cudnnTensorDescriptor_t xd, cudnnTensorDescriptor_t pd, double epsilon) {
  Batch b;
  b.x = map(xd, "x"), b.params = map(pd, "the parameters");
  b.spatial = mode != CUDNN_BATCHNORM_PER_ACTIVATION;
  const int *x = b.x.dim, *p = b.params.dim;
  if (p[0] != 1 || p[1] != x[1] || p[2] != (b.spatial ? 1 : x[2]) || p[3] != (b.spatial ? 1 : x[3])) bad("the parameters' descriptor is [1 C 1 1], or [1 C H W] per activation; it is " + b.params.text());
  if (epsilon < CUDNN_BN_MIN_EPSILON) bad("epsilon is below CUDNN_BN_MIN_EPSILON");
  return b;
}

void same(const Tensor &a, const Tensor &b, const char *what) {
  if (memcmp(a.dim, b.dim, sizeof(int) * 4)) bad(std::string(what) + " have different shapes: " + a.text() + " and " + b.text());
}

// Calls f(group, n, c, h, w) for each element, group by group.
template <class F>
void each(const Batch &b, int group, F f) {
  int hw = b.x.dim[2] * b.x.dim[3];
  for (int n = 0; n < b.x.dim[0]; n++) {
    if (!b.spatial) {
      f(n, group / hw, group % hw / b.x.dim[3], group % b.x.dim[3]);
      continue;
    }
    for (int k = 0; k < hw; k++) f(n, group, k / b.x.dim[3], k % b.x.dim[3]);
  }
}

}  // namespace

SIM_API cudnnStatus_t cudnnDeriveBNTensorDescriptor(cudnnTensorDescriptor_t d, cudnnTensorDescriptor_t xd, cudnnBatchNormMode_t mode) {
  DNN({
    const Tensor &x = map(xd, "x");
    Tensor &t = get<Tensor>(d);
    bool spatial = mode != CUDNN_BATCHNORM_PER_ACTIVATION;
    int dim[4] = {1, x.dim[1], spatial ? 1 : x.dim[2], spatial ? 1 : x.dim[3]};
    t.n = 4;
    for (int k = 3, s = 1; k >= 0; k--) t.dim[k] = dim[k], t.stride[k] = s, s *= dim[k];
  })
}

SIM_API cudnnStatus_t cudnnBatchNormalizationForwardTraining(cudnnHandle_t h, cudnnBatchNormMode_t mode, const void *alpha, const void *beta, cudnnTensorDescriptor_t xd, const void *x, cudnnTensorDescriptor_t yd, void *y, cudnnTensorDescriptor_t pd, const void *scale, const void *bias,
                                                             double factor, void *running_mean, void *running_variance, double epsilon, void *save_mean, void *save_inverse) {
  DNN({
    Handle &handle = running(h);
    Batch b = batch(mode, xd, pd, epsilon);
    Tensor yt = map(yd, "y");
    same(b.x, yt, "x and y");
    Blend blend(alpha, beta);
    if (!running_mean != !running_variance) bad("both running statistics are null or none");
    if (!save_mean != !save_inverse) bad("both saved statistics are null or none");
    u64 size = b.params.extent();
    queue(handle, "cudnnBatchNormalizationForwardTraining",
          {{"x", x, b.x.extent(), false}, {"y", y, yt.extent(), true}, {"scale", scale, size, false}, {"bias", bias, size, false}, {"running mean", running_mean, running_mean ? size : 0, true},
           {"running variance", running_variance, running_variance ? size : 0, true}, {"saved mean", save_mean, save_mean ? size : 0, true}, {"saved inverse variance", save_inverse, save_inverse ? size : 0, true}},
          false, [=](const std::vector<float *> &a) {
            View v = view(b.x, a[0]), o = view(yt, a[1]);
            for (int g = 0; g < b.groups(); g++) {
              double sum = 0, square = 0;
              long m = 0;
              each(b, g, [&](int n, int c, int i, int j) { sum += v.at(n, c, i, j), m++; });
              double mean = sum / (double)m;
              each(b, g, [&](int n, int c, int i, int j) { square += (v.at(n, c, i, j) - mean) * (v.at(n, c, i, j) - mean); });
              double variance = square / (double)m, inverse = 1 / std::sqrt(variance + epsilon);
              each(b, g, [&](int n, int c, int i, int j) { blend(o.at(n, c, i, j), (float)((v.at(n, c, i, j) - mean) * inverse) * a[2][g] + a[3][g]); });
              double unbiased = m > 1 ? square / (double)(m - 1) : variance;
              if (a[4]) a[4][g] = (float)(a[4][g] * (1 - factor) + mean * factor), a[5][g] = (float)(a[5][g] * (1 - factor) + unbiased * factor);
              if (factor == 1 && a[4]) a[4][g] = (float)mean, a[5][g] = (float)unbiased; // what was there before does not count
              if (a[6]) a[6][g] = (float)mean, a[7][g] = (float)inverse;
            }
          });
  })
}

SIM_API cudnnStatus_t cudnnBatchNormalizationForwardInference(cudnnHandle_t h, cudnnBatchNormMode_t mode, const void *alpha, const void *beta, cudnnTensorDescriptor_t xd, const void *x, cudnnTensorDescriptor_t yd, void *y, cudnnTensorDescriptor_t pd, const void *scale, const void *bias,
                                                              const void *mean, const void *variance, double epsilon) {
  DNN({
    Handle &handle = running(h);
    Batch b = batch(mode, xd, pd, epsilon);
    Tensor yt = map(yd, "y");
    same(b.x, yt, "x and y");
    Blend blend(alpha, beta);
    u64 size = b.params.extent();
    queue(handle, "cudnnBatchNormalizationForwardInference", {{"x", x, b.x.extent(), false}, {"y", y, yt.extent(), true}, {"scale", scale, size, false}, {"bias", bias, size, false}, {"mean", mean, size, false}, {"variance", variance, size, false}}, true,
          [=](const std::vector<float *> &a) {
            View v = view(b.x, a[0]), o = view(yt, a[1]);
            for (int g = 0; g < b.groups(); g++) {
              float inverse = (float)(1 / std::sqrt(a[5][g] + epsilon));
              each(b, g, [&](int n, int c, int i, int j) { blend(o.at(n, c, i, j), (v.at(n, c, i, j) - a[4][g]) * inverse * a[2][g] + a[3][g]); });
            }
          });
  })
}

SIM_API cudnnStatus_t cudnnBatchNormalizationBackward(cudnnHandle_t h, cudnnBatchNormMode_t mode, const void *alpha, const void *beta, const void *palpha, const void *pbeta, cudnnTensorDescriptor_t xd, const void *x, cudnnTensorDescriptor_t dyd, const void *dy,
                                                      cudnnTensorDescriptor_t dxd, void *dx, cudnnTensorDescriptor_t pd, const void *scale, void *dscale, void *dbias, double epsilon, const void *save_mean, const void *save_inverse) {
  DNN({
    Handle &handle = running(h);
    Batch b = batch(mode, xd, pd, epsilon);
    Tensor dyt = map(dyd, "dy");
    Tensor dxt = map(dxd, "dx");
    same(b.x, dyt, "x and dy");
    same(b.x, dxt, "x and dx");
    Blend data(alpha, beta);
    Blend param(palpha, pbeta);
    if (!save_mean != !save_inverse) bad("both saved statistics are null or none");
    u64 size = b.params.extent();
    u64 saved = save_mean ? size : 0;
    queue(handle, "cudnnBatchNormalizationBackward",
          {{"x", x, b.x.extent(), false}, {"dy", dy, dyt.extent(), false}, {"dx", dx, dxt.extent(), true}, {"scale", scale, size, false}, {"dscale", dscale, size, true}, {"dbias", dbias, size, true}, {"saved mean", save_mean, saved, false}, {"saved inverse variance", save_inverse, saved, false}},
          false, [=](const std::vector<float *> &a) {
            View v = view(b.x, a[0]), g = view(dyt, a[1]), o = view(dxt, a[2]);
            for (int k = 0; k < b.groups(); k++) {
              double sum = 0, square = 0, m = 0;
              each(b, k, [&](int n, int c, int i, int j) { sum += v.at(n, c, i, j), m++; });
              double mean = a[6] ? a[6][k] : sum / m;
              each(b, k, [&](int n, int c, int i, int j) { square += (v.at(n, c, i, j) - mean) * (v.at(n, c, i, j) - mean); });
              double inverse = a[7] ? a[7][k] : 1 / std::sqrt(square / m + epsilon), db = 0, ds = 0;
              each(b, k, [&](int n, int c, int i, int j) {
                db += g.at(n, c, i, j);
                ds += g.at(n, c, i, j) * (v.at(n, c, i, j) - mean) * inverse;
              });
              each(b, k, [&](int n, int c, int i, int j) {
                double hat = (v.at(n, c, i, j) - mean) * inverse;
                data(o.at(n, c, i, j), (float)(a[3][k] * inverse * (g.at(n, c, i, j) - db / m - hat * ds / m)));
              });
              param(a[4][k], (float)ds);
              param(a[5][k], (float)db);
            }
          });
  })
}

SIM_API cudnnStatus_t cudnnSetLRNDescriptor(cudnnLRNDescriptor_t d, unsigned n, double alpha, double beta, double k) {
  DNN({
    if (n < CUDNN_LRN_MIN_N || n > CUDNN_LRN_MAX_N || k < CUDNN_LRN_MIN_K || beta < CUDNN_LRN_MIN_BETA) bad(format("n is %d to %d, k at least %g, beta at least %g", CUDNN_LRN_MIN_N, CUDNN_LRN_MAX_N, CUDNN_LRN_MIN_K, CUDNN_LRN_MIN_BETA));
    auto &l = get<Normalization>(d);
    l.set = true, l.n = n, l.alpha = alpha, l.beta = beta, l.k = k;
  })
}

static const Normalization &normalization(cudnnLRNDescriptor_t d, cudnnLRNMode_t mode) {
  auto &l = get<Normalization>(d);
  if (!l.set) bad("the LRN descriptor was not set");
  if (mode != CUDNN_LRN_CROSS_CHANNEL_DIM1) bad("the mode is CUDNN_LRN_CROSS_CHANNEL_DIM1");
  return l;
}

// k + alpha/n·Σx² around a channel, ⌊(n−1)/2⌋ before it.
static double denominator(const Normalization &l, const View &v, int n, int c, int i, int j) {
  int first = std::max(c - ((int)l.n - 1) / 2, 0), last = std::min(c + (int)l.n - ((int)l.n - 1) / 2 - 1, v.d[1] - 1);
  double sum = 0;
  for (int q = first; q <= last; q++) sum += (double)v.at(n, q, i, j) * v.at(n, q, i, j);
  return l.k + l.alpha / l.n * sum;
}

SIM_API cudnnStatus_t cudnnLRNCrossChannelForward(cudnnHandle_t h, cudnnLRNDescriptor_t d, cudnnLRNMode_t mode, const void *alpha, cudnnTensorDescriptor_t xd, const void *x, const void *beta, cudnnTensorDescriptor_t yd, void *y) {
  DNN({
    Handle &handle = running(h);
    Normalization l = normalization(d, mode);
    Tensor xt = map(xd, "x");
    Tensor yt = map(yd, "y");
    same(xt, yt, "x and y");
    Blend blend(alpha, beta);
    queue(handle, "cudnnLRNCrossChannelForward", {{"x", x, xt.extent(), false}, {"y", y, yt.extent(), true}}, false, [=](const std::vector<float *> &a) {
      View v = view(xt, a[0]), o = view(yt, a[1]);
      for (int n = 0; n < v.d[0]; n++)
        for (int c = 0; c < v.d[1]; c++)
          for (int i = 0; i < v.d[2]; i++)
            for (int j = 0; j < v.d[3]; j++) blend(o.at(n, c, i, j), (float)(v.at(n, c, i, j) * std::pow(denominator(l, v, n, c, i, j), -l.beta)));
    });
  })
}

SIM_API cudnnStatus_t cudnnLRNCrossChannelBackward(cudnnHandle_t h, cudnnLRNDescriptor_t d, cudnnLRNMode_t mode, const void *alpha, cudnnTensorDescriptor_t yd, const void *y, cudnnTensorDescriptor_t dyd, const void *dy, cudnnTensorDescriptor_t xd, const void *x, const void *beta,
                                                   cudnnTensorDescriptor_t dxd, void *dx) {
  DNN({
    Handle &handle = running(h);
    Normalization l = normalization(d, mode);
    Tensor yt = map(yd, "y");
    Tensor dyt = map(dyd, "dy");
    Tensor xt = map(xd, "x");
    Tensor dxt = map(dxd, "dx");
    same(xt, yt, "x and y");
    same(xt, dyt, "x and dy");
    same(xt, dxt, "x and dx");
    Blend blend(alpha, beta);
    queue(handle, "cudnnLRNCrossChannelBackward", {{"y", y, yt.extent(), false}, {"dy", dy, dyt.extent(), false}, {"x", x, xt.extent(), false}, {"dx", dx, dxt.extent(), true}}, false, [=](const std::vector<float *> &a) {
      View yv = view(yt, a[0]), g = view(dyt, a[1]), v = view(xt, a[2]), o = view(dxt, a[3]);
      int before = ((int)l.n - 1) / 2, behind = (int)l.n - before - 1;
      for (int n = 0; n < v.d[0]; n++)
        for (int i = 0; i < v.d[2]; i++)
          for (int j = 0; j < v.d[3]; j++)
            for (int c = 0; c < v.d[1]; c++) {
              double sum = 0;
              for (int q = std::max(c - behind, 0); q <= std::min(c + before, v.d[1] - 1); q++) sum += (double)g.at(n, q, i, j) * yv.at(n, q, i, j) / denominator(l, v, n, q, i, j);
              blend(o.at(n, c, i, j), (float)(g.at(n, c, i, j) * std::pow(denominator(l, v, n, c, i, j), -l.beta) - 2 * l.alpha * l.beta / l.n * v.at(n, c, i, j) * sum));
            }
    });
  })
}
