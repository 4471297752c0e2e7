// Philox 4×32-10 (Salmon et al., SC 2011), as in internal/philox: the same words for the same key and counter on every device.
#pragma once
#include "common.cuh"

struct Words { u32 w[4]; };

// The streams of internal/philox, the counter's last word.
enum { STREAM_DROPOUT = 3 };

DEVICE Words philox(u64 seed, u32 c0, u32 c1, u32 c2, u32 c3) {
  u32 k0 = (u32)seed, k1 = (u32)(seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; round++) {
    u32 h0 = __umulhi(0xD2511F53u, c0), l0 = 0xD2511F53u * c0, h1 = __umulhi(0xCD9E8D57u, c2), l1 = 0xCD9E8D57u * c2;
    c0 = h1 ^ c1 ^ k0, c1 = l1, c2 = h0 ^ c3 ^ k1, c3 = l0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  Words o = {{c0, c1, c2, c3}};
  return o;
}

// A float32 uniform on the 2²⁴ multiples of 2⁻²⁴ in [0, 1).
DEVICE float unit(u32 word) { return (float)(word >> 8) * 0x1p-24f; }
