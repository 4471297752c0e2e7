// The float32 functions of the kernels. Every operation in them is correctly rounded (IEEE 754 add, multiply, fma, divide), no
// compiler may contract or approximate any (see build.sh), and no library function is called: a GPU, the simulator and a host
// compiler give the same bits. The header compiles as CUDA and as C++17.
//
// Largest errors over all float32 arguments, found by trying every one (cuda/simulator/test/math_test.cpp, which fails above
// them), in units in the last place of the exact result:
//
//   math_exp 1.0    math_expm1 1.5 (x ≤ 88)   math_log 0.9 (x ≥ 0)   math_log1p 1.4 (0 ≤ x ≤ 1)
//   math_tanh 1.5   math_sigmoid 2.5          math_erf 1.2           math_softplus 1.7
//
// The coefficients come from gen/polynomials.py.
#pragma once

#ifdef __CUDACC_RTC__
#define GCNN_MATH static __device__ __forceinline__
GCNN_MATH float bits_float(unsigned u) { return __uint_as_float(u); }
GCNN_MATH unsigned float_bits(float x) { return __float_as_uint(x); }
#else
#include <cmath>
#include <cstring>
#define GCNN_MATH static inline
GCNN_MATH float bits_float(unsigned u) { float x; std::memcpy(&x, &u, 4); return x; }
GCNN_MATH unsigned float_bits(float x) { unsigned u; std::memcpy(&u, &x, 4); return u; }
#endif

// 2ⁿ for −126 ≤ n ≤ 127.
GCNN_MATH float exp2_int(int n) { return bits_float((unsigned)(n + 127) << 23); }

// eʳ − 1 for |r| ≤ ln 2 / 2.
GCNN_MATH float expm1_reduced(float r) {
  float q = fmaf(0x1.a124e4p-13f, r, 0x1.6d4316p-10f);
  q = fmaf(q, r, 0x1.1110e0p-7f);
  q = fmaf(q, r, 0x1.5554eap-5f);
  q = fmaf(q, r, 0x1.555556p-3f);
  q = fmaf(q, r, 0.5f);
  return fmaf(r * r, q, r);
}

// The n and r of x = n·ln 2 + r; the product with the first part of ln 2, which has 10 trailing zero bits, is exact.
GCNN_MATH float exp_reduce(float x, float *n) {
  *n = rintf(x * 0x1.715476p+0f);
  return fmaf(*n, -0x1.7f7d1cp-20f, fmaf(*n, -0x1.62e400p-1f, x));
}

// eˣ.
GCNN_MATH float math_exp(float x) {
  x = x > 89.0f ? 89.0f : x; // beyond: infinity and 0; NaN stays
  x = x < -104.0f ? -104.0f : x;
  float n, r = exp_reduce(x, &n), e = 1.0f + expm1_reduced(r);
  int k = x == x ? (int)n : 0, h = k >> 1; // 2ᵏ in two factors: it may lie outside the normal range
  return e * exp2_int(h) * exp2_int(k - h);
}

// eˣ − 1 for x ≤ 88.
GCNN_MATH float math_expm1(float x) {
  x = x < -40.0f ? -40.0f : x;
  float n, r = exp_reduce(x, &n), s = exp2_int(x == x ? (int)n : 0);
  return fmaf(expm1_reduced(r), s, s - 1.0f);
}

// ln(1+f) + k·ln 2 for √½ ≤ 1+f < √2, by s = f/(2+f).
GCNN_MATH float log_reduced(float f, float k) {
  float s = f / (2.0f + f), z = s * s, h = 0.5f * f * f;
  float p = fmaf(0x1.ddced8p-3f, z, 0x1.245c44p-2f);
  p = fmaf(p, z, 0x1.9999ecp-2f);
  p = fmaf(p, z, 0x1.555556p-1f);
  float t = fmaf(s, fmaf(p, z, h), k * 0x1.7f7d1cp-20f);
  return fmaf(k, 0x1.62e400p-1f, f - (h - t));
}

// ln x for x ≥ 0; NaN below 0.
GCNN_MATH float math_log(float x) {
  if (!(x > 0.0f && x < bits_float(0x7f800000u))) return x == 0.0f ? -bits_float(0x7f800000u) : x > 0.0f ? x : bits_float(0x7fc00000u);
  float k = 0.0f;
  if (x < 0x1p-126f) { x *= 0x1p25f; k = -25.0f; }
  unsigned u = float_bits(x) + (0x3f800000u - 0x3f3504f3u);
  k += (float)((int)(u >> 23) - 127);
  return log_reduced(bits_float((u & 0x007fffffu) + 0x3f3504f3u) - 1.0f, k);
}

// ln(1+x) for 0 ≤ x ≤ 1.
GCNN_MATH float math_log1p(float x) { return x < 0x1.a8279ap-2f ? log_reduced(x, 0.0f) : log_reduced(0.5f * (x - 1.0f), 1.0f); }

GCNN_MATH float math_tanh(float x) {
  float a = fabsf(x);
  if (a < 0.55f) {
    float z = x * x;
    float p = fmaf(-0x1.b13538p-8f, z, 0x1.5d220ep-6f);
    p = fmaf(p, z, -0x1.b9a044p-5f);
    p = fmaf(p, z, 0x1.110feap-3f);
    p = fmaf(p, z, -0x1.555554p-2f);
    return fmaf(x * z, p, x);
  }
  float t = math_expm1(2.0f * (a > 10.0f ? 10.0f : a));
  return copysignf(t / (t + 2.0f), x);
}

// 1/(1+e⁻ˣ).
GCNN_MATH float math_sigmoid(float x) {
  float z = math_exp(-fabsf(x));
  return (x >= 0.0f ? 1.0f : z) / (1.0f + z);
}

// ln(1+eˣ).
GCNN_MATH float math_softplus(float x) { return (x > 0.0f ? x : 0.0f) + math_log1p(math_exp(-fabsf(x))); }

GCNN_MATH float math_erf(float x) {
  float a = fabsf(x);
  if (a < 0.93f) {
    float z = x * x;
    float p = fmaf(0x1.5d955cp-14f, z, -0x1.aa7e38p-11f);
    p = fmaf(p, z, 0x1.54cfb6p-8f);
    p = fmaf(p, z, -0x1.b80f72p-6f);
    p = fmaf(p, z, 0x1.ce2e14p-4f);
    p = fmaf(p, z, -0x1.812744p-2f);
    p = fmaf(p, z, 0x1.06eba8p-3f);
    return fmaf(x, p, x);
  }
  float t = a > 4.0f ? 4.0f : a;
  float p = fmaf(-0x1.29f294p-22f, t, 0x1.2dfca4p-18f);
  p = fmaf(p, t, -0x1.ad48e4p-17f);
  p = fmaf(p, t, -0x1.21a9e8p-12f);
  p = fmaf(p, t, 0x1.e0dd0ep-9f);
  p = fmaf(p, t, -0x1.898c74p-6f);
  p = fmaf(p, t, 0x1.b4ea94p-4f);
  p = fmaf(p, t, 0x1.450992p-1f);
  p = fmaf(p, t, 0x1.07a5d2p-3f);
  return copysignf(1.0f - math_exp(-fmaf(t, p, t)), x);
}
