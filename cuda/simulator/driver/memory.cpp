// Memory of the device, pinned memory of the host, copies and fills.
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>

#include "../core/device.h"

using namespace sim;

static Heap &heap() { return device().heap; }

SIM_API CUresult cuMemAlloc_v2(CUdeviceptr *p, size_t n) {
  API(Current | Uncaptured, {
    if (!n) throw Fault(CUDA_ERROR_INVALID_VALUE, "0 bytes");
    *p = heap().allocate(n, current(), "cuMemAlloc");
  })
}

SIM_API CUresult cuMemFree_v2(CUdeviceptr p) {
  API(Current | Uncaptured, {
    if (!p) return;
    complete(current()); // as the driver does
    if (device().error) throw Fault(device().error, "");
    heap().free(p, false);
  })
}

SIM_API CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
  API(Current, {
    *free = heap().total() - heap().used();
    *total = heap().total();
  })
}

SIM_API CUresult cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *size, CUdeviceptr p) {
  API(Current, {
    Allocation *a = heap().find(p);
    if (!a || !a->holds(p, 1)) throw Fault(CUDA_ERROR_NOT_FOUND, heap().describe(p, 1));
    if (base) *base = a->base;
    if (size) *size = a->size;
  })
}

// Pinned memory has pages of its own, which stay without access once it is freed: a late copy or a host that goes on using it
// is found. Its address on the device is the host's.
static void *pin(size_t n, const char *made_by) {
  if (!n) throw Fault(CUDA_ERROR_INVALID_VALUE, "0 bytes");
  size_t pages = (n + 4095) & ~(size_t)4095;
  void *p = mmap(nullptr, pages + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw Fault(CUDA_ERROR_OUT_OF_MEMORY, "no memory of the host");
  mprotect((char *)p + pages, 4096, PROT_NONE);
  heap().pin(p, n, current(), made_by);
  return p;
}

SIM_API CUresult cuMemHostAlloc(void **p, size_t n, unsigned flags) {
  API(Current | Uncaptured, {
    if (flags & ~7u) throw Fault(CUDA_ERROR_INVALID_VALUE, format("flags %u", flags));
    *p = pin(n, "cuMemHostAlloc");
  })
}

SIM_API CUresult cuMemAllocHost_v2(void **p, size_t n) { API(Current | Uncaptured, *p = pin(n, "cuMemAllocHost");) }

SIM_API CUresult cuMemFreeHost(void *p) {
  API(Current | Uncaptured, {
    Allocation *a = heap().find((u64)p);
    if (!a || !a->live || a->base != (u64)p || a->made_by == "cuMemHostRegister") throw Fault(CUDA_ERROR_INVALID_VALUE, "this was not made by cuMemHostAlloc or cuMemAllocHost");
    u64 size = a->size;
    heap().free((u64)p, true); // queued copies are not waited for: they fault
    mprotect(p, (size + 4095) & ~4095ull, PROT_NONE);
  })
}

SIM_API CUresult cuMemHostRegister_v2(void *p, size_t n, unsigned) { API(Current | Uncaptured, heap().pin(p, n, current(), "cuMemHostRegister");) }
SIM_API CUresult cuMemHostUnregister(void *p) { API(Current | Uncaptured, heap().free((u64)p, true);) }

SIM_API CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr *d, void *p, unsigned flags) {
  API(Current, {
    Allocation *a = heap().find((u64)p);
    if (!a || !a->pinned || !a->holds((u64)p, 1) || flags) throw Fault(CUDA_ERROR_INVALID_VALUE, "this is no pinned memory");
    *d = (CUdeviceptr)p;
  })
}

SIM_API CUresult cuPointerGetAttribute(void *out, CUpointer_attribute what, CUdeviceptr p) {
  API(Init, {
    Allocation *a = heap().find(p);
    if (!a || !a->holds(p, 1)) throw Fault(CUDA_ERROR_INVALID_VALUE, heap().describe(p, 1));
    switch (what) {
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE: *(unsigned *)out = a->pinned ? CU_MEMORYTYPE_HOST : CU_MEMORYTYPE_DEVICE; break;
    case CU_POINTER_ATTRIBUTE_CONTEXT: *(void **)out = a->owner; break;
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER: *(CUdeviceptr *)out = p; break;
    default: throw Fault(CUDA_ERROR_NOT_SUPPORTED, format("attribute %d is not implemented", (int)what));
    }
  })
}

// A copy that the host waits for: the legacy stream's turn comes first.
static void copy_now(const char *name, std::function<void()> run) {
  Stream *s = &current()->legacy;
  submit(s, CU_GRAPH_NODE_TYPE_MEMCPY, name, std::move(run));
  complete(s);
  if (device().error) throw Fault(device().error, "");
}

static bool is_pinned(const void *p, u64 n) {
  Allocation *a = heap().find((u64)p);
  return a && a->pinned && a->holds((u64)p, n);
}

static void not_null(const void *p, size_t n) {
  if (!p && n) throw Fault(CUDA_ERROR_INVALID_VALUE, "a null pointer to host memory");
}

static void in_device(CUdeviceptr p, size_t n, const char *what) {
  Allocation *a = heap().find(p);
  if (!a || !a->holds(p, n)) throw Fault(CUDA_ERROR_INVALID_VALUE, std::string(what) + ": " + heap().describe(p, n));
}

SIM_API CUresult cuMemcpyHtoD_v2(CUdeviceptr d, const void *s, size_t n) {
  API(Current | Uncaptured, {
    if (!n) return;
    not_null(s, n);
    in_device(d, n, "the destination");
    copy_now("cuMemcpyHtoD", [=] { memcpy(heap().resolve(d, n, "cuMemcpyHtoD"), s, n); });
  })
}

SIM_API CUresult cuMemcpyDtoH_v2(void *d, CUdeviceptr s, size_t n) {
  API(Current | Uncaptured, {
    if (!n) return;
    not_null(d, n);
    in_device(s, n, "the source");
    copy_now("cuMemcpyDtoH", [=] { memcpy(d, heap().resolve(s, n, "cuMemcpyDtoH"), n); });
  })
}

static void copy_inside(Stream *stream, CUdeviceptr d, CUdeviceptr s, size_t n) {
  in_device(d, n, "the destination");
  in_device(s, n, "the source");
  submit(stream, CU_GRAPH_NODE_TYPE_MEMCPY, "cuMemcpyDtoD", [=] {
    u8 *to = heap().resolve(d, n, "cuMemcpyDtoD, the destination");
    const u8 *from = heap().resolve(s, n, "cuMemcpyDtoD, the source");
    if (to < from + n && from < to + n) throw Fault(CUDA_ERROR_ILLEGAL_ADDRESS, "cuMemcpyDtoD: source and destination overlap");
    memcpy(to, from, n);
  });
}

SIM_API CUresult cuMemcpyDtoD_v2(CUdeviceptr d, CUdeviceptr s, size_t n) {
  API(Current | Uncaptured, if (n) copy_inside(&current()->legacy, d, s, n);) // not waited for by the host
}

SIM_API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr d, CUdeviceptr s, size_t n, CUstream stream) { API(Current, if (n) copy_inside(stream_of(stream), d, s, n);) }

// What pageable memory means: an upload is staged before the call returns, a download is waited for; neither belongs into a
// captured graph, which would read memory that Go may have moved or freed.
static void no_pageable_capture(Stream *s) {
  if (!s->capture) return;
  invalidate(s->capture);
  throw Fault(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the simulator refuses a captured copy of host memory that is not pinned");
}

SIM_API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr d, const void *s, size_t n, CUstream stream) {
  API(Current, {
    Stream *q = stream_of(stream);
    if (!n) return;
    not_null(s, n);
    in_device(d, n, "the destination");
    if (is_pinned(s, n)) {
      submit(q, CU_GRAPH_NODE_TYPE_MEMCPY, "cuMemcpyHtoDAsync", [=] {
        const u8 *from = heap().resolve((u64)s, n, "cuMemcpyHtoDAsync, the source");
        memcpy(heap().resolve(d, n, "cuMemcpyHtoDAsync, the destination"), from, n);
      });
      return;
    }
    no_pageable_capture(q);
    auto staged = std::make_shared<std::vector<u8>>((const u8 *)s, (const u8 *)s + n);
    submit(q, CU_GRAPH_NODE_TYPE_MEMCPY, "cuMemcpyHtoDAsync", [=] { memcpy(heap().resolve(d, n, "cuMemcpyHtoDAsync"), staged->data(), n); });
  })
}

SIM_API CUresult cuMemcpyDtoHAsync_v2(void *d, CUdeviceptr s, size_t n, CUstream stream) {
  API(Current, {
    Stream *q = stream_of(stream);
    if (!n) return;
    not_null(d, n);
    in_device(s, n, "the source");
    bool pinned = is_pinned(d, n);
    if (!pinned) no_pageable_capture(q);
    submit(q, CU_GRAPH_NODE_TYPE_MEMCPY, "cuMemcpyDtoHAsync", [=] {
      u8 *to = pinned ? heap().resolve((u64)d, n, "cuMemcpyDtoHAsync, the destination") : (u8 *)d;
      memcpy(to, heap().resolve(s, n, "cuMemcpyDtoHAsync, the source"), n);
    });
    if (pinned) return;
    complete(q);
    if (device().error) throw Fault(device().error, "");
  })
}

template <class T>
static void fill(Stream *s, CUdeviceptr p, T v, size_t n) {
  if (!n) return;
  if (p % sizeof(T)) throw Fault(CUDA_ERROR_INVALID_VALUE, "misaligned");
  in_device(p, n * sizeof(T), "the destination");
  submit(s, CU_GRAPH_NODE_TYPE_MEMSET, "cuMemset", [=] {
    T *d = (T *)heap().resolve(p, n * sizeof(T), "cuMemset");
    for (size_t k = 0; k < n; k++) d[k] = v;
  });
}

SIM_API CUresult cuMemsetD8_v2(CUdeviceptr p, unsigned char v, size_t n) { API(Current | Uncaptured, fill(&current()->legacy, p, v, n);) }
SIM_API CUresult cuMemsetD16_v2(CUdeviceptr p, unsigned short v, size_t n) { API(Current | Uncaptured, fill(&current()->legacy, p, v, n);) }
SIM_API CUresult cuMemsetD32_v2(CUdeviceptr p, unsigned v, size_t n) { API(Current | Uncaptured, fill(&current()->legacy, p, v, n);) }
SIM_API CUresult cuMemsetD8Async(CUdeviceptr p, unsigned char v, size_t n, CUstream s) { API(Current, fill(stream_of(s), p, v, n);) }
SIM_API CUresult cuMemsetD16Async(CUdeviceptr p, unsigned short v, size_t n, CUstream s) { API(Current, fill(stream_of(s), p, v, n);) }
SIM_API CUresult cuMemsetD32Async(CUdeviceptr p, unsigned v, size_t n, CUstream s) { API(Current, fill(stream_of(s), p, v, n);) }
