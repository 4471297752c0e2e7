// Streams and events.
#include "../core/device.h"

using namespace sim;

static void make_stream(CUstream *out, unsigned flags, int priority) {
  if (flags & ~(unsigned)CU_STREAM_NON_BLOCKING) throw Fault(CUDA_ERROR_INVALID_VALUE, format("flags %u", flags));
  auto s = std::make_unique<Stream>();
  static int ids = 0;
  s->context = current(), s->flags = flags, s->priority = priority, s->id = ++ids;
  *out = (CUstream)s.get();
  current()->streams.push_back(std::move(s));
  born("live.streams");
}

SIM_API CUresult cuStreamCreate(CUstream *s, unsigned flags) { API(Current, make_stream(s, flags, 0);) }
SIM_API CUresult cuStreamCreateWithPriority(CUstream *s, unsigned flags, int priority) { API(Current, make_stream(s, flags, priority);) }

SIM_API CUresult cuStreamDestroy_v2(CUstream handle) {
  API(Current, {
    Stream *s = stream_of(handle);
    if (s->legacy) throw Fault(CUDA_ERROR_INVALID_HANDLE, "the legacy stream cannot be destroyed");
    if (s->capture) throw Fault(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the stream is captured");
    s->live = false; // its work still runs
    died("live.streams");
  })
}

SIM_API CUresult cuStreamGetFlags(CUstream s, unsigned *f) { API(Current, *f = stream_of(s)->flags;) }
SIM_API CUresult cuStreamGetPriority(CUstream s, int *p) { API(Current, *p = stream_of(s)->priority;) }

static void no_capture(Stream *s) {
  if (!s->capture) return;
  invalidate(s->capture);
  throw Fault(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the stream is captured");
}

SIM_API CUresult cuStreamSynchronize(CUstream handle) {
  API(Current, {
    Stream *s = stream_of(handle);
    no_capture(s);
    if (s->legacy) {
      check_implicit(s->context);
      for (auto &w : blocking_work(s->context)) complete(w);
    }
    for (auto &w : s->waits) complete(w);
    complete(s);
    if (device().error) throw Fault(device().error, "");
  })
}

// In lazy mode a question makes one step of progress, as otherwise nobody would.
static void poll(Stream *s) {
  if (settings().lazy && !s->queue.empty()) complete(Work(s->queue.front()));
}

SIM_API CUresult cuStreamQuery(CUstream handle) {
  API(Current, {
    Stream *s = stream_of(handle);
    no_capture(s);
    bool pending = !s->queue.empty();
    poll(s);
    if (device().error) throw Fault(device().error, "");
    if (pending) throw Fault(CUDA_ERROR_NOT_READY, "");
  })
}

SIM_API CUresult cuEventCreate(CUevent *out, unsigned flags) {
  API(Current, {
    if (flags & ~7u) throw Fault(CUDA_ERROR_INVALID_VALUE, format("flags %u", flags));
    auto e = std::make_unique<Event>();
    e->context = current(), e->flags = flags;
    *out = (CUevent)e.get();
    current()->events.push_back(std::move(e));
    born("live.events");
  })
}

SIM_API CUresult cuEventDestroy_v2(CUevent handle) {
  API(Current, {
    event_of(handle)->live = false;
    died("live.events");
  })
}

SIM_API CUresult cuEventRecord(CUevent handle, CUstream stream) {
  API(Current, {
    Event *e = event_of(handle);
    Stream *s = stream_of(stream);
    if (e->context != s->context) throw Fault(CUDA_ERROR_INVALID_HANDLE, "event and stream belong to different contexts");
    if (s->capture) {
      if (s->capture->broken) throw Fault(s->capture->broken, "");
      e->capture = s->capture, e->tail = s->tail, e->work = nullptr;
      return;
    }
    e->capture = nullptr;
    submit(s, CU_GRAPH_NODE_TYPE_EVENT_RECORD, "cuEventRecord", [] {});
    e->work = s->last;
  })
}

static void not_captured(Event *e) {
  if (!e->capture) return;
  if (e->capture->origin) invalidate(e->capture);
  throw Fault(CUDA_ERROR_CAPTURED_EVENT, "the event was last recorded in a captured stream");
}

SIM_API CUresult cuEventSynchronize(CUevent handle) {
  API(Current, {
    Event *e = event_of(handle);
    not_captured(e);
    complete(e->work);
    if (device().error) throw Fault(device().error, "");
  })
}

SIM_API CUresult cuEventQuery(CUevent handle) {
  API(Current, {
    Event *e = event_of(handle);
    not_captured(e);
    if (!e->work) return;
    bool pending = !e->work->done;
    if (pending) poll(e->work->stream);
    if (device().error) throw Fault(device().error, "");
    if (pending) throw Fault(CUDA_ERROR_NOT_READY, "");
  })
}

SIM_API CUresult cuEventElapsedTime(float *ms, CUevent a, CUevent b) {
  API(Current, {
    Event *x = event_of(a), *y = event_of(b);
    not_captured(x);
    not_captured(y);
    if ((x->flags | y->flags) & CU_EVENT_DISABLE_TIMING) throw Fault(CUDA_ERROR_INVALID_HANDLE, "an event was created without timing");
    if (!x->work || !y->work) throw Fault(CUDA_ERROR_INVALID_HANDLE, "an event was never recorded");
    if (!x->work->done || !y->work->done) throw Fault(CUDA_ERROR_NOT_READY, "");
    *ms = std::chrono::duration<float, std::milli>(y->work->ended - x->work->ended).count();
  })
}

SIM_API CUresult cuEventElapsedTime_v2(float *ms, CUevent a, CUevent b) { return cuEventElapsedTime(ms, a, b); }

SIM_API CUresult cuStreamWaitEvent(CUstream stream, CUevent handle, unsigned flags) {
  API(Current, {
    Stream *s = stream_of(stream);
    Event *e = event_of(handle);
    if (flags) throw Fault(CUDA_ERROR_INVALID_VALUE, "flags are 0");
    if (e->capture && e->capture->origin) { // the stream joins the capture
      Capture *c = e->capture;
      if (s->capture && s->capture != c) {
        invalidate(c);
        invalidate(s->capture);
        throw Fault(CUDA_ERROR_STREAM_CAPTURE_MERGE, "two captures would merge");
      }
      if (s->legacy) {
        invalidate(c);
        throw Fault(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "the legacy stream cannot be captured");
      }
      if (!s->capture) {
        s->capture = c;
        s->tail.clear();
        c->streams.push_back(s);
      }
      s->tail.insert(s->tail.end(), e->tail.begin(), e->tail.end());
      return;
    }
    if (s->capture) {
      invalidate(s->capture);
      throw Fault(CUDA_ERROR_STREAM_CAPTURE_ISOLATION, "a captured stream cannot wait for work that is not captured");
    }
    if (e->work && !e->work->done) s->waits.push_back(e->work);
  })
}
