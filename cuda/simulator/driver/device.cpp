// cuInit, versions, devices and contexts.
#include <cstring>

#include "../core/device.h"

using namespace sim;

static void check_ordinal(int n) {
  if (n < 0 || n >= settings().devices) throw Fault(CUDA_ERROR_INVALID_DEVICE, format("device %d of %d", n, settings().devices));
}

SIM_API CUresult cuInit(unsigned flags) {
  API(None, {
    if (flags) throw Fault(CUDA_ERROR_INVALID_VALUE, "flags are 0");
    if (settings().no_device || !settings().devices) throw Fault(CUDA_ERROR_NO_DEVICE, "as GCNN_SIM_NO_DEVICE asks");
    device().initialised = true;
  })
}

SIM_API CUresult cuDriverGetVersion(int *v) { API(None, *v = settings().driver;) }
SIM_API CUresult cuDeviceGetCount(int *n) { API(Init, *n = settings().devices;) }

SIM_API CUresult cuDeviceGet(CUdevice *d, int ordinal) {
  API(Init, {
    check_ordinal(ordinal);
    *d = ordinal;
  })
}

SIM_API CUresult cuDeviceGetName(char *name, int len, CUdevice d) {
  API(Init, {
    check_ordinal(d);
    if (len < 1) throw Fault(CUDA_ERROR_INVALID_VALUE, "no room for the name");
    snprintf(name, (size_t)len, "gcnn simulated GPU");
  })
}

SIM_API CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice d) {
  API(Init, {
    check_ordinal(d);
    *bytes = settings().memory;
  })
}

SIM_API CUresult cuDeviceGetUuid(CUuuid *u, CUdevice d) {
  API(Init, {
    check_ordinal(d);
    memcpy(u->bytes, "gcnn simulation", 16);
    u->bytes[15] = (char)d;
  })
}

SIM_API CUresult cuDeviceGetUuid_v2(CUuuid *u, CUdevice d) { return cuDeviceGetUuid(u, d); }

SIM_API CUresult cuDeviceGetPCIBusId(char *id, int len, CUdevice d) {
  API(Init, {
    check_ordinal(d);
    if (len < 13) throw Fault(CUDA_ERROR_INVALID_VALUE, "13 bytes are needed");
    snprintf(id, (size_t)len, "0000:%02x:00.0", d + 1);
  })
}

SIM_API CUresult cuDeviceGetAttribute(int *v, CUdevice_attribute a, CUdevice d) {
  API(Init, {
    check_ordinal(d);
    switch (a) {
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *v = settings().major; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *v = settings().minor; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *v = 4; break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *v = 32; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X:
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y: *v = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z: *v = 64; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: *v = 0x7fffffff; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y:
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z: *v = 65535; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *v = 49152; break;
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE: *v = 1000000; break;
    case CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE: *v = 1000000; break;
    case CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: *v = 256; break;
    case CU_DEVICE_ATTRIBUTE_UNIFIED_ADDRESSING:
    case CU_DEVICE_ATTRIBUTE_CAN_MAP_HOST_MEMORY:
    case CU_DEVICE_ATTRIBUTE_CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM:
    case CU_DEVICE_ATTRIBUTE_CONCURRENT_KERNELS: *v = 1; break;
    case CU_DEVICE_ATTRIBUTE_PCI_BUS_ID: *v = d + 1; break;
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED:
    case CU_DEVICE_ATTRIBUTE_COMPUTE_MODE:
    case CU_DEVICE_ATTRIBUTE_ECC_ENABLED:
    case CU_DEVICE_ATTRIBUTE_INTEGRATED:
    case CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID:
    case CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID: *v = 0; break;
    default: throw Fault(CUDA_ERROR_NOT_SUPPORTED, format("attribute %d is not implemented", (int)a));
    }
  })
}

static Context *new_context(int ordinal, bool primary, unsigned flags) {
  auto c = std::make_unique<Context>();
  c->ordinal = ordinal, c->primary = primary, c->flags = flags;
  c->legacy.context = c.get(), c->legacy.legacy = true, c->legacy.flags = 0, c->legacy.priority = 0, c->legacy.id = 0;
  Context *p = c.get();
  device().contexts.push_back(std::move(c));
  born("live.contexts");
  return p;
}

static Context *context_of(CUcontext handle) {
  for (auto &c : device().contexts)
    if ((CUcontext)c.get() == handle) {
      if (!c->live) throw Fault(CUDA_ERROR_CONTEXT_IS_DESTROYED, "the context was destroyed");
      return c.get();
    }
  throw Fault(CUDA_ERROR_INVALID_CONTEXT, "this is no context");
}

static Context *&primary(int ordinal) {
  auto &p = device().primaries;
  if (p.size() <= (size_t)ordinal) p.resize((size_t)ordinal + 1);
  return p[(size_t)ordinal];
}

SIM_API CUresult cuDevicePrimaryCtxRetain(CUcontext *c, CUdevice d) {
  API(Init, {
    check_ordinal(d);
    Context *&p = primary(d);
    if (!p || !p->live) p = new_context(d, true, 0);
    p->retained++;
    *c = (CUcontext)p;
  })
}

// The device's state after a sticky error: a released context may still be released.
SIM_API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice d) {
  API(None, {
    check_ordinal(d);
    Context *&p = primary(d);
    if (!p || !p->retained) throw Fault(CUDA_ERROR_INVALID_CONTEXT, "the primary context is not retained");
    if (--p->retained) return;
    end_context(p, "release of the primary context");
    died("live.contexts");
    p = nullptr;
  })
}

SIM_API CUresult cuDevicePrimaryCtxReset_v2(CUdevice d) {
  API(Init, {
    check_ordinal(d);
    if (Context *p = primary(d)) {
      end_context(p, "reset of the primary context");
      p->live = true;
    }
  })
}

SIM_API CUresult cuDevicePrimaryCtxGetState(CUdevice d, unsigned *flags, int *active) {
  API(Init, {
    check_ordinal(d);
    Context *p = primary(d);
    *flags = p ? p->flags : 0;
    *active = p && p->live;
  })
}

SIM_API CUresult cuDevicePrimaryCtxSetFlags_v2(CUdevice d, unsigned flags) {
  API(Init, {
    check_ordinal(d);
    if (Context *p = primary(d)) p->flags = flags;
  })
}

SIM_API CUresult cuCtxCreate_v2(CUcontext *c, unsigned flags, CUdevice d) {
  API(Init, {
    check_ordinal(d);
    Context *n = new_context(d, false, flags);
    context_stack().push_back(n);
    *c = (CUcontext)n;
  })
}

SIM_API CUresult cuCtxDestroy_v2(CUcontext handle) {
  API(None, {
    Context *c = context_of(handle);
    if (c->primary) throw Fault(CUDA_ERROR_INVALID_CONTEXT, "a primary context is released, not destroyed");
    end_context(c, "cuCtxDestroy");
    died("live.contexts");
    if (current() == c) context_stack().pop_back();
  })
}

SIM_API CUresult cuCtxSetCurrent(CUcontext handle) {
  API(Init, {
    auto &s = context_stack();
    Context *c = handle ? context_of(handle) : nullptr;
    if (!s.empty()) s.pop_back();
    if (c) s.push_back(c);
  })
}

SIM_API CUresult cuCtxGetCurrent(CUcontext *c) { API(Init, *c = (CUcontext)current();) }
SIM_API CUresult cuCtxPushCurrent_v2(CUcontext c) { API(Init, context_stack().push_back(context_of(c));) }

SIM_API CUresult cuCtxPopCurrent_v2(CUcontext *c) {
  API(Current, {
    if (c) *c = (CUcontext)current();
    context_stack().pop_back();
  })
}

SIM_API CUresult cuCtxGetDevice(CUdevice *d) { API(Current, *d = current()->ordinal;) }
SIM_API CUresult cuCtxGetFlags(unsigned *f) { API(Current, *f = current()->flags;) }

SIM_API CUresult cuCtxGetApiVersion(CUcontext, unsigned *v) { API(Init, *v = 3020;) }

SIM_API CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest) {
  API(Current, {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
  })
}

SIM_API CUresult cuCtxSynchronize(void) {
  API(Current | Uncaptured, {
    for (auto &s : current()->streams)
      if (s->live && s->capture) {
        invalidate(s->capture);
        throw Fault(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "a stream of the context is captured");
      }
    complete(current());
    if (device().error) throw Fault(device().error, "");
  })
}

SIM_API CUresult cuGetErrorName(CUresult r, const char **s) {
  *s = error_name(r);
  return *s ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

SIM_API CUresult cuGetErrorString(CUresult r, const char **s) {
  *s = error_string(r);
  return *s ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
