#include "device.h"

#include <cstdlib>

namespace sim {

Device &device() {
  static Device *d = [] {
    atexit([] {
      int kinds = report_leaks("exit");
      if (kinds) counter("leaked.kinds at exit").value += (uint64_t)kinds;
    });
    return new Device; // never deleted: the worker thread may outlive main
  }();
  return *d;
}

std::vector<Context *> &context_stack() {
  thread_local std::vector<Context *> stack;
  return stack;
}

Context *current() {
  auto &s = context_stack();
  return s.empty() ? nullptr : s.back();
}

void enter(const char *name, unsigned need) {
  if (int code = injected(name)) throw Fault((CUresult)code, "");
  Device &d = device();
  if ((need & Init) && !d.initialised) throw Fault(CUDA_ERROR_NOT_INITIALIZED, "cuInit was not called");
  if ((need & Init) && d.error) throw Fault(d.error, "");
  if ((need & Current) == Current) {
    if (!current()) throw Fault(CUDA_ERROR_INVALID_CONTEXT, "no context is current on this thread");
    if (!current()->live) throw Fault(CUDA_ERROR_CONTEXT_IS_DESTROYED, "the thread's context was destroyed");
  }
  if (need & Uncaptured)
    for (auto &c : d.captures)
      if (c->origin && (c->mode == CU_STREAM_CAPTURE_MODE_GLOBAL || (c->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL && c->thread == std::this_thread::get_id()))) {
        invalidate(c.get());
        throw Fault(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the call is forbidden while a stream is captured");
      }
}

CUresult failed(const char *name, const Fault &e) {
  if (e.what()[0]) say(std::string(name) + ": " + e.what());
  if (sticky(e.code)) device().error = e.code;
  return e.code;
}

template <class T>
static T *living(T *object, const char *kind) {
  if (!object->live) throw Fault(CUDA_ERROR_INVALID_HANDLE, std::string("the ") + kind + " was destroyed");
  return object;
}

Stream *stream_of(CUstream handle) {
  Context *c = current();
  if (!handle || handle == CU_STREAM_LEGACY) return &c->legacy;
  if (handle == CU_STREAM_PER_THREAD) throw Fault(CUDA_ERROR_NOT_SUPPORTED, "the per-thread default stream is not implemented");
  for (auto &x : device().contexts)
    for (auto &s : x->streams)
      if ((CUstream)s.get() == handle) {
        living(s.get(), "stream");
        if (x.get() != c) throw Fault(CUDA_ERROR_INVALID_CONTEXT, "the stream belongs to another context");
        return s.get();
      }
  throw Fault(CUDA_ERROR_INVALID_HANDLE, "this is no stream");
}

Event *event_of(CUevent handle) {
  for (auto &x : device().contexts)
    for (auto &e : x->events)
      if ((CUevent)e.get() == handle) return living(e.get(), "event");
  throw Fault(CUDA_ERROR_INVALID_HANDLE, "this is no event");
}

Function *function_of(CUfunction handle) {
  for (auto &x : device().contexts)
    for (auto &m : x->modules)
      for (auto &f : m->functions)
        if ((CUfunction)f.second.get() == handle) {
          living(m.get(), "function's module");
          if (x.get() != current()) throw Fault(CUDA_ERROR_INVALID_CONTEXT, "the function belongs to another context");
          return f.second.get();
        }
  throw Fault(CUDA_ERROR_INVALID_HANDLE, "this is no function");
}

void count_run(const std::string &name) {
  Device &d = device();
  const Settings &s = settings();
  d.launches++;
  static Counter &runs = counter("kernels run");
  runs.value++;
  if (d.launches == s.fail_launch) throw Fault(CUDA_ERROR_LAUNCH_FAILED, format("launch %d (%s) fails as GCNN_SIM_FAIL_LAUNCH asks", d.launches, name.c_str()));
  if (d.launches == s.lose_device) throw Fault(CUDA_ERROR_UNKNOWN, format("the device is lost at launch %d (%s), as GCNN_SIM_LOSE_DEVICE asks", d.launches, name.c_str()));
}

static void lost(const char *kind, size_t n, const std::string &what, const char *when) {
  say(format("leak at %s: %s", when, what.c_str()));
  counter((std::string("leaked.") + kind).c_str()).value += n;
}

void end_context(Context *c, const char *when) {
  if (!device().error) complete(c);
  int shown = 0;
  for (Allocation *a : device().heap.of(c)) {
    if (a->made_by == "module") continue;
    if (!device().error && shown++ < 10) say(format("leak at %s: %s allocation #%d of %llu bytes, made by %s", when, a->pinned ? "pinned" : "device", a->id, (unsigned long long)a->size, a->made_by.c_str()));
    if (!device().error) counter(a->pinned ? "leaked.pinned allocations" : "leaked.device allocations").value++;
    device().heap.free(a->base, a->pinned);
  }
  for (auto &s : c->streams)
    if (s->live) {
      if (!device().error) lost("streams", 1, format("stream %d", s->id), when);
      s->live = false;
      died("live.streams");
    }
  for (auto &e : c->events)
    if (e->live) {
      if (!device().error) lost("events", 1, "an event", when);
      e->live = false;
      died("live.events");
    }
  for (auto &m : c->modules)
    if (m->live) {
      if (!device().error) lost("modules", 1, "a module", when);
      m->live = false;
      died("live.modules");
      for (auto &g : m->module.globals) device().heap.free(g.second.address, false);
    }
  if (device().error) { // they could not be destroyed since
    for (auto &g : device().executables)
      if (g->live) g->live = false, died("live.executable graphs");
    for (auto &g : device().graphs)
      if (g->live) g->live = false, died("live.graphs");
  }
  c->live = false;
}

}  // namespace sim
