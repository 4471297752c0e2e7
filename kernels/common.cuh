// What all kernels share: short type names, sums in a fixed order, and the last-block pattern.
//
// Tensors are float32, channels last (NHWC), so that the index of an element is its logical channels-last index on every device.
// Pointers marked "or null" are optional. Nothing here depends on the speed or the order of blocks: every sum is split by the
// size of the problem and added up in one order, and atomics only count blocks.
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define KERNEL extern "C" __global__ void
#ifndef INFINITY // NVRTC has no math.h
#define INFINITY __uint_as_float(0x7f800000u)
#endif
#define DEVICE static __device__ __forceinline__

// The index of the thread in a grid of one dimension.
DEVICE u32 thread_index() { return blockIdx.x * blockDim.x + threadIdx.x; }

// The sum over the lanes of a warp, in every lane.
DEVICE float warp_sum(float v) {
  for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
  return v;
}

// The largest value of the lanes of a warp, in every lane; NaN where there is one.
DEVICE float warp_max(float v) {
  for (int o = 16; o; o >>= 1) {
    float w = __shfl_xor_sync(0xffffffffu, v, o);
    v = w > v || w != w ? w : v;
  }
  return v;
}

// The sum over a block of 256 threads, valid in thread 0.
DEVICE double block_sum(double v) {
  __shared__ double warps[8];
  for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(0xffffffffu, v, o);
  if ((threadIdx.x & 31) == 0) warps[threadIdx.x >> 5] = v;
  __syncthreads();
  if (threadIdx.x == 0)
    for (int w = 1; w < 8; w++) v += warps[w];
  __syncthreads();
  return v;
}

// Whether this block is the last of `blocks` to come here, in every thread of it: it may read with load_partial what the others
// stored before. The ticket is a zero in global memory that belongs to these blocks alone; the last one leaves it zero again.
DEVICE bool last_block(u32 *ticket, u32 blocks) {
  __shared__ u32 last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0 && threadIdx.y == 0) {
    last = atomicAdd(ticket, 1u) == blocks - 1;
    if (last) atomicExch(ticket, 0u);
  }
  __syncthreads();
  bool is = last != 0;
  if (is) __threadfence();
  return is;
}

// A load that does not come from a cache that other blocks cannot see.
DEVICE float load_partial(const float *p) { return *(const volatile float *)p; }
DEVICE double load_partial(const double *p) { return *(const volatile double *)p; }
