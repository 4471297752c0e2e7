// The driver: memory, late work, events, capture, graphs, leaks and injected faults.
#include <csignal>
#include <thread>

#include "harness.h"

static const char *ptx_path;

static CUmodule loaded;

static CUfunction function(const char *name) {
  CUfunction f;
  if (!loaded) OK(cuModuleLoadData(&loaded, slurp(ptx_path).c_str()));
  OK(cuModuleGetFunction(&f, loaded, name));
  return f;
}

static CUresult set(CUdeviceptr p, float v, CUstream s) {
  void *args[] = {&p, &v};
  return cuLaunchKernel(function("set"), 1, 1, 1, 1, 1, 1, 0, s, args, nullptr);
}

static CUresult twice(CUdeviceptr p, int n, CUstream s) {
  void *args[] = {&p, &n};
  return cuLaunchKernel(function("twice"), 1, 1, 1, 32, 1, 1, 0, s, args, nullptr);
}

static CUstream stream(unsigned flags = CU_STREAM_NON_BLOCKING) {
  CUstream s;
  OK(cuStreamCreate(&s, flags));
  return s;
}

static float *pinned(size_t n) {
  void *p;
  OK(cuMemHostAlloc(&p, n * 4, 0));
  return (float *)p;
}

static CUevent event(unsigned flags = CU_EVENT_DISABLE_TIMING) {
  CUevent e;
  OK(cuEventCreate(&e, flags));
  return e;
}

TEST("a device pointer that the host dereferences", [] {
  context();
  volatile float *p = (volatile float *)allocate(4);
  *p = 1;
}, nullptr, SIGSEGV);
TEST("new memory holds NaN", [] {
  context();
  CHECK(std::isnan(download(allocate(4), 1)[0]));
});
TEST("freeing", [] {
  context();
  CUdeviceptr p = allocate(1000), q = allocate(1000);
  CHECK(p % 256 == 0 && q % 256 == 0);
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(p + 256));
  OK(cuMemFree(p));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemFree(p));
  CHECK(allocate(1000) != p);
  OK(cuMemFree(0));
}, "was freed before");
TEST("a kernel that uses freed memory", [] {
  context();
  CUdeviceptr p = allocate(4);
  OK(cuMemFree(p));
  OK(set(p, 1, nullptr));
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
  CUdeviceptr q;
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemAlloc(&q, 4));
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuMemFree(p));
}, "which was freed");
TEST("a kernel that is given a pointer of the host", [] {
  context();
  float x;
  OK(set((CUdeviceptr)&x, 1, nullptr));
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuCtxSynchronize());
}, "a host pointer?");
TEST("copies outside an allocation", [] {
  context();
  float x[3] = {};
  CUdeviceptr p = allocate(8);
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD(p, x, 12));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyDtoH(x, p + 4, 8));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuMemcpyHtoD((CUdeviceptr)x, x, 4));
}, "end 4 bytes behind");
TEST("a thread without a context", [] {
  context();
  std::thread([] {
    CUdeviceptr p;
    EXPECT(CUDA_ERROR_INVALID_CONTEXT, cuMemAlloc(&p, 4));
  }).join();
}, "no context is current");
TEST("no cuInit", [] { int n; EXPECT(CUDA_ERROR_NOT_INITIALIZED, cuDeviceGetCount(&n)); }, "cuInit");

TEST("work runs late", [] {
  context();
  float *p = pinned(1);
  *p = 0;
  CUstream s = stream();
  OK(set((CUdeviceptr)p, 5, s));
  CHECK(*(volatile float *)p == 0);
  EXPECT(CUDA_ERROR_NOT_READY, cuStreamQuery(s));
  OK(cuStreamSynchronize(s));
  CHECK(*p == 5);
  OK(cuStreamQuery(s));
});
TEST("work runs by itself in the end", [] {
  setenv("GCNN_SIM_DELAY_US", "1000", 1);
  context();
  float *p = pinned(1);
  *p = 0;
  OK(set((CUdeviceptr)p, 5, stream()));
  for (int i = 0; i < 1000 && *(volatile float *)p == 0; i++) usleep(1000);
  CHECK(*p == 5);
});
TEST("streams do not wait for one another", [] {
  context();
  CUdeviceptr p = upload({1});
  CUstream a = stream(), b = stream();
  float *out = pinned(1);
  OK(set(p, 2, a));
  OK(cuMemcpyDtoHAsync(out, p, 4, b));
  OK(cuStreamSynchronize(b));
  CHECK(*out == 1); // the missing event shows
  CUevent e = event();
  OK(cuEventRecord(e, a));
  OK(cuStreamWaitEvent(b, e, 0));
  OK(cuMemcpyDtoHAsync(out, p, 4, b));
  OK(cuStreamSynchronize(b));
  CHECK(*out == 2);
  OK(cuEventQuery(e));
});
TEST("the legacy stream waits for blocking streams", [] {
  context();
  CUdeviceptr p = upload({1}), q = upload({1});
  OK(set(p, 2, stream(CU_STREAM_DEFAULT)));
  OK(set(q, 2, stream(CU_STREAM_NON_BLOCKING)));
  CHECK(download(p, 1)[0] == 2);
  CHECK(download(q, 1)[0] == 1);
});
TEST("host memory of a late copy", [] {
  context();
  CUstream s = stream();
  CUdeviceptr p = upload({0}), q = upload({0});
  float *late = pinned(1), pageable = 1;
  *late = 1;
  OK(cuMemcpyHtoDAsync(p, late, 4, s));
  OK(cuMemcpyHtoDAsync(q, &pageable, 4, s));
  *late = pageable = 2;
  OK(cuStreamSynchronize(s));
  CHECK(download(p, 1)[0] == 2); // read when it ran: the caller's bug shows
  CHECK(download(q, 1)[0] == 1); // staged before the call returned
});
TEST("pinned memory freed before its copy ran", [] {
  context();
  CUstream s = stream();
  float *p = pinned(1);
  OK(cuMemcpyHtoDAsync(allocate(4), p, 4, s));
  OK(cuMemFreeHost(p));
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamSynchronize(s));
}, "cuMemcpyHtoDAsync, the source");
TEST("pinned memory used after it was freed", [] {
  context();
  float *p = pinned(1);
  OK(cuMemFreeHost(p));
  *(volatile float *)p = 1;
}, nullptr, SIGSEGV);
TEST("events take time", [] {
  context();
  CUevent a = event(0), b = event(0), c = event();
  CUstream s = stream();
  float ms;
  OK(cuEventRecord(a, s));
  OK(cuEventRecord(b, s));
  EXPECT(CUDA_ERROR_NOT_READY, cuEventElapsedTime(&ms, a, b));
  OK(cuEventSynchronize(b));
  OK(cuEventElapsedTime(&ms, a, b));
  CHECK(ms >= 0);
  EXPECT(CUDA_ERROR_INVALID_HANDLE, cuEventElapsedTime(&ms, a, c));
}, "without timing");
TEST("destroyed handles", [] {
  context();
  CUstream s = stream();
  OK(cuStreamDestroy(s));
  EXPECT(CUDA_ERROR_INVALID_HANDLE, cuStreamSynchronize(s));
  EXPECT(CUDA_ERROR_INVALID_HANDLE, cuStreamSynchronize((CUstream)0x1234));
}, "the stream was destroyed");

// Captures what f queues and returns the executable graph.
static CUgraphExec capture(CUstream s, std::function<void()> f) {
  CUgraph g;
  CUgraphExec e;
  function("set"); // a module cannot be loaded within a capture
  OK(cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  f();
  OK(cuStreamEndCapture(s, &g));
  OK(cuGraphInstantiateWithFlags(&e, g, 0));
  OK(cuGraphDestroy(g));
  return e;
}

TEST("a graph is replayed", [] {
  context();
  CUstream s = stream();
  CUdeviceptr p = upload({1, 1});
  CUgraphExec e = capture(s, [&] { OK(twice(p, 2, s)); });
  CHECK(download(p, 1)[0] == 1); // captured work does not run
  for (int i = 0; i < 3; i++) OK(cuGraphLaunch(e, s));
  OK(cuStreamSynchronize(s));
  CHECK(download(p, 2)[1] == 8);
  OK(cuGraphExecDestroy(e));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuGraphLaunch(e, s));
}, "the executable graph was destroyed");
TEST("a graph of two streams", [] {
  context();
  CUstream a = stream(), b = stream();
  CUdeviceptr p = upload({1});
  CUevent fork = event(), join = event();
  CUgraphExec e = capture(a, [&] {
    OK(cuEventRecord(fork, a));
    OK(cuStreamWaitEvent(b, fork, 0));
    OK(set(p, 3, b));
    OK(cuEventRecord(join, b));
    OK(cuStreamWaitEvent(a, join, 0));
    OK(twice(p, 1, a));
  });
  OK(cuGraphLaunch(e, a));
  OK(cuStreamSynchronize(a));
  CHECK(download(p, 1)[0] == 6);
});
TEST("unjoined work", [] {
  context();
  CUstream a = stream(), b = stream();
  CUdeviceptr p = upload({1});
  CUevent fork = event();
  CUgraph g;
  function("set");
  OK(cuStreamBeginCapture(a, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  OK(cuEventRecord(fork, a));
  OK(cuStreamWaitEvent(b, fork, 0));
  OK(set(p, 3, b));
  EXPECT(CUDA_ERROR_STREAM_CAPTURE_UNJOINED, cuStreamEndCapture(a, &g));
  CHECK(!g);
}, "was not joined");
TEST("a replay after its memory was freed", [] {
  context();
  CUstream s = stream();
  CUdeviceptr p = upload({1});
  CUgraphExec e = capture(s, [&] { OK(twice(p, 1, s)); });
  OK(cuMemFree(p));
  OK(cuGraphLaunch(e, s));
  EXPECT(CUDA_ERROR_ILLEGAL_ADDRESS, cuStreamSynchronize(s));
}, "which was freed");

// A call that a capture forbids returns code and breaks it.
static void forbidden(CUresult code, unsigned flags, std::function<CUresult(CUstream)> f) {
  context();
  CUstream s = stream(flags);
  CUgraph g;
  function("set");
  OK(cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  EXPECT(code, f(s));
  EXPECT(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, cuStreamEndCapture(s, &g));
}
TEST("capture: synchronising", [] { forbidden(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 1, [](CUstream s) { return cuStreamSynchronize(s); }); }, "captured");
TEST("capture: asking", [] { forbidden(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 1, [](CUstream s) { return cuStreamQuery(s); }); }, "captured");
TEST("capture: allocating", [] { forbidden(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 1, [](CUstream) { CUdeviceptr p; return cuMemAlloc(&p, 4); }); }, "forbidden while");
TEST("capture: the whole context", [] { forbidden(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, 1, [](CUstream) { return cuCtxSynchronize(); }); }, "forbidden while");
TEST("capture: the legacy stream", [] {
  context();
  CUdeviceptr p = allocate(4);
  forbidden(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, CU_STREAM_DEFAULT, [=](CUstream) { return set(p, 1, nullptr); });
}, "the legacy stream would wait");
TEST("capture: pageable memory", [] {
  context();
  CUdeviceptr p = allocate(4);
  float x = 1;
  forbidden(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, CU_STREAM_NON_BLOCKING, [=, &x](CUstream s) { return cuMemcpyHtoDAsync(p, &x, 4, s); });
}, "not pinned");
TEST("capture: an event within it", [] {
  forbidden(CUDA_ERROR_CAPTURED_EVENT, 1, [](CUstream s) {
    CUevent e = event();
    OK(cuEventRecord(e, s));
    return cuEventSynchronize(e);
  });
}, "captured stream");
TEST("capture: an event from outside", [] {
  context();
  CUevent e = event();
  CUstream other = stream();
  OK(cuEventRecord(e, other));
  forbidden(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, 1, [&](CUstream s) { return cuStreamWaitEvent(s, e, 0); });
}, "not captured");
TEST("capture: ended by another thread", [] {
  CUcontext c = context();
  CUstream s = stream();
  CUgraph g;
  OK(cuStreamBeginCapture(s, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL));
  std::thread([&] {
    OK(cuCtxSetCurrent(c));
    EXPECT(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, cuStreamEndCapture(s, &g));
  }).join();
}, "another thread");

TEST("leaks", [] {
  context();
  allocate(100);
  stream();
  event();
  OK(cuDevicePrimaryCtxRelease(0));
}, "device allocation #1 of 100 bytes, made by cuMemAlloc");
TEST("no leaks", [] {
  context();
  function("set");
  OK(cuModuleUnload(loaded));
  CUdeviceptr p = allocate(100);
  CUstream s = stream();
  OK(cuStreamDestroy(s));
  OK(cuMemFree(p));
  OK(cuDevicePrimaryCtxRelease(0));
});

TEST("injected: the second allocation", [] {
  setenv("GCNN_SIM_FAIL_ALLOCATION", "2", 1);
  context();
  allocate(4);
  CUdeviceptr p;
  EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&p, 4));
  allocate(4);
}, "GCNN_SIM_FAIL_ALLOCATION");
TEST("injected: little memory", [] {
  setenv("GCNN_SIM_MEMORY", "1048576", 1);
  context();
  CUdeviceptr p, q;
  OK(cuMemAlloc(&p, 1 << 19));
  EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&q, (1 << 19) + 1));
  size_t free, total;
  OK(cuMemGetInfo(&free, &total));
  CHECK(free == 1 << 19 && total == 1 << 20);
}, "524288 of 1048576 free");
TEST("injected: a failing launch", [] {
  setenv("GCNN_SIM_FAIL_LAUNCH", "2", 1);
  context();
  CUdeviceptr p = upload({1});
  OK(twice(p, 1, nullptr));
  OK(cuCtxSynchronize());
  OK(twice(p, 1, nullptr));
  EXPECT(CUDA_ERROR_LAUNCH_FAILED, cuCtxSynchronize());
  EXPECT(CUDA_ERROR_LAUNCH_FAILED, cuCtxSynchronize());
}, "GCNN_SIM_FAIL_LAUNCH");
TEST("injected: a lost device", [] {
  setenv("GCNN_SIM_LOSE_DEVICE", "1", 1);
  context();
  OK(twice(upload({1}), 1, nullptr));
  EXPECT(CUDA_ERROR_UNKNOWN, cuCtxSynchronize());
  OK(cuDevicePrimaryCtxRelease(0));
}, "the device is lost");
TEST("injected: no device", [] {
  setenv("GCNN_SIM_NO_DEVICE", "1", 1);
  EXPECT(CUDA_ERROR_NO_DEVICE, cuInit(0));
}, "GCNN_SIM_NO_DEVICE");
TEST("injected: an old driver", [] {
  setenv("GCNN_SIM_DRIVER", "11080", 1);
  int v;
  OK(cuDriverGetVersion(&v));
  CHECK(v == 11080);
});
TEST("injected: any call", [] {
  setenv("GCNN_SIM_FAIL", "cuMemcpyHtoD_v2:2:719,cuMemAlloc_v2:1:2", 1);
  context();
  CUdeviceptr p;
  float x = 1;
  EXPECT(CUDA_ERROR_OUT_OF_MEMORY, cuMemAlloc(&p, 4));
  OK(cuMemAlloc(&p, 4));
  OK(cuMemcpyHtoD(p, &x, 4));
  EXPECT(CUDA_ERROR_LAUNCH_FAILED, cuMemcpyHtoD(p, &x, 4));
}, "call 2 of cuMemcpyHtoD_v2");
extern "C" CUresult cuMemAllocManaged(CUdeviceptr *, size_t, unsigned);
TEST("what is not implemented says so", [] {
  context();
  CUdeviceptr p;
  EXPECT(CUDA_ERROR_NOT_SUPPORTED, cuMemAllocManaged(&p, 4, 1));
}, "cuMemAllocManaged is not implemented");

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  ptx_path = argv[1];
  return run_all();
}
