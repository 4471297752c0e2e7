// The activation functions and their derivatives, numbered as in package model.
#pragma once
#include "math.cuh"

enum { LINEAR = 0, RELU = 1, TANH = 2, SIGMOID = 3, LEAKY_RELU = 5, ELU = 6, GELU = 7, SILU = 8, SOFTPLUS = 9, RELU6 = 10,
  HARD_SIGMOID = 11, HARD_SILU = 12 };

// min(max(z, 0), 6). NaN stays NaN.
GCNN_MATH float relu6(float z) { return z < 0.0f ? 0.0f : z > 6.0f ? 6.0f : z; }

GCNN_MATH float hard_sigmoid(float z) { return relu6(z + 3.0f) * 0x1.555556p-3f; }

// f(z). alpha is leaky_relu's slope and elu's α. NaN stays NaN.
GCNN_MATH float activate(int function, float alpha, float z) {
  switch (function) {
  case RELU: return z < 0.0f ? 0.0f : z;
  case TANH: return math_tanh(z);
  case SIGMOID: return math_sigmoid(z);
  case LEAKY_RELU: return z > 0.0f ? z : alpha * z;
  case ELU: return z > 0.0f ? z : alpha * math_expm1(z);
  case GELU: return 0.5f * z * (1.0f + math_erf(z * 0x1.6a09e6p-1f));
  case SILU: return z * math_sigmoid(z);
  case SOFTPLUS: return math_softplus(z);
  case RELU6: return relu6(z);
  case HARD_SIGMOID: return hard_sigmoid(z);
  case HARD_SILU: return z * hard_sigmoid(z);
  default: return z;
  }
}

// f′(z), from y = f(z) alone where that is enough; gelu, silu and hard_silu need z.
GCNN_MATH float derivative(int function, float alpha, float z, float y) {
  switch (function) {
  case RELU: return y > 0.0f ? 1.0f : 0.0f;
  case TANH: return fmaf(-y, y, 1.0f);
  case SIGMOID: return y * (1.0f - y);
  case LEAKY_RELU: return y > 0.0f ? 1.0f : alpha;
  case ELU: return y > 0.0f ? 1.0f : y + alpha; // α·eᶻ
  case GELU: // Φ(z) + z·φ(z)
    return fmaf(z * 0x1.988454p-2f, math_exp(-0.5f * z * z), 0.5f * (1.0f + math_erf(z * 0x1.6a09e6p-1f)));
  case SILU: {
    float s = math_sigmoid(z);
    return fmaf(z * s, 1.0f - s, s);
  }
  case SOFTPLUS: return -math_expm1(-y); // sigmoid(z) = 1 − e⁻ʸ
  case RELU6: return y > 0.0f && y < 6.0f ? 1.0f : 0.0f;
  case HARD_SIGMOID: return y > 0.0f && y < 1.0f ? 0x1.555556p-3f : 0.0f;
  case HARD_SILU: return hard_sigmoid(z) + (z > -3.0f && z < 3.0f ? z * 0x1.555556p-3f : 0.0f);
  default: return 1.0f;
  }
}
