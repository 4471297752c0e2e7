// The simulated device as the driver's calls see it: contexts, streams whose work runs late, events, captures and graphs.
//
// One mutex guards all of it and is held while work runs. Queued work runs when somebody waits for it, or by itself, on a worker
// thread, once it has waited for GCNN_SIM_DELAY_US: a program that forgets to synchronise sees old data. Waiting for one stream
// does not run the work of another unless an event or the legacy stream says so.
#pragma once
#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "../ptx/run.h"
#include "counters.h"
#include "heap.h"
#include "settings.h"

namespace sim {

typedef std::chrono::steady_clock Clock;

struct Stream;
struct Context;

// A piece of queued work.
struct Task {
  std::string name;
  std::function<void()> run;
  std::vector<std::shared_ptr<Task>> after; // of other streams
  Stream *stream;
  Clock::time_point due, ended;
  bool done = false;
};
typedef std::shared_ptr<Task> Work;

struct Node {
  CUgraphNodeType type;
  std::string name;
  std::function<void()> run;
  std::vector<int> after;
  const struct Graph *graph;
};

struct Graph {
  bool live = true;
  std::deque<Node> nodes; // in the order of capture; handles point into it
};

struct Executable {
  bool live = true;
  std::shared_ptr<std::vector<Node>> nodes;
};

// A capture under way.
struct Capture {
  Graph *graph;
  Stream *origin;
  CUstreamCaptureMode mode;
  std::thread::id thread;
  CUresult broken = CUDA_SUCCESS;
  std::vector<Stream *> streams;
};

struct Stream {
  bool live = true;
  Context *context;
  unsigned flags;
  int priority;
  int id;
  std::deque<Work> queue;
  Work last;
  std::vector<Work> waits; // what the next work must come after
  Capture *capture = nullptr;
  std::vector<int> tail;   // nodes that the next captured one comes after
  bool legacy = false;
  bool blocking() const { return !legacy && !(flags & CU_STREAM_NON_BLOCKING); }
};

struct Event {
  bool live = true;
  Context *context;
  unsigned flags;
  Work work; // null: never recorded
  Capture *capture = nullptr;
  std::vector<int> tail;
};

struct LoadedModule;

struct Function {
  const Kernel *kernel;
  LoadedModule *module;
};

struct LoadedModule {
  bool live = true;
  Context *context;
  Module module;
  std::map<std::string, std::unique_ptr<Function>> functions;
};

struct Context {
  bool live = true;
  int ordinal;
  bool primary;
  int retained = 0;
  unsigned flags = 0;
  Stream legacy;
  std::vector<std::unique_ptr<Stream>> streams;
  std::vector<std::unique_ptr<Event>> events;
  std::vector<std::unique_ptr<LoadedModule>> modules;
};

struct Device {
  std::recursive_mutex mutex;
  std::condition_variable_any queued;
  Heap heap;
  bool initialised = false;
  CUresult error = CUDA_SUCCESS; // sticky
  std::vector<std::unique_ptr<Context>> contexts;
  std::vector<Context *> primaries;
  std::vector<std::unique_ptr<Graph>> graphs;
  std::vector<std::unique_ptr<Executable>> executables;
  std::vector<std::unique_ptr<Capture>> captures; // ended ones too
  int launches = 0; // kernels run, library calls included
};
Device &device();

// The current context of this thread, and the ones below it.
std::vector<Context *> &context_stack();
Context *current();

// The checks that come before every call.
enum Need : unsigned { None = 0, Init = 1, Current = 2 | Init, Uncaptured = 4 }; // Uncaptured: unsafe while a stream is captured
void enter(const char *call, unsigned need);
// Says what failed and returns its code.
CUresult failed(const char *call, const Fault &);

template <class F>
CUresult call(const char *name, Counter &count, unsigned need, F f) {
  std::lock_guard<std::recursive_mutex> lock(device().mutex);
  count.value++;
  counter("calls").value++;
  try {
    enter(name, need);
    f();
    return CUDA_SUCCESS;
  } catch (const Fault &e) {
    return failed(name, e);
  }
}

#define SIM_API extern "C" __attribute__((visibility("default")))
// The body of an entry point: API(needs, statements) or, when it throws, its code.
#define API(need, ...)                                                              \
  static ::sim::Counter &counted = ::sim::counter((std::string("call.") + __func__).c_str()); \
  return ::sim::call(__func__, counted, need, [&] { __VA_ARGS__ });

// A handle's object, checked to be a living one of the current context.
Stream *stream_of(CUstream);
Event *event_of(CUevent);
Function *function_of(CUfunction);

// Queues work, or adds it to the capture under way.
void submit(Stream *, CUgraphNodeType, const std::string &name, std::function<void()> run);
// Runs a stream's work up to the end, or up to one piece of it.
void complete(Stream *);
void complete(const Work &);
// Runs all work of a context.
void complete(Context *);
// What the legacy stream waits for: the last work of every blocking stream.
std::vector<Work> blocking_work(Context *);
// Throws if a stream of the context is captured and the legacy stream would have to wait for it.
void check_implicit(Context *);
// Runs a graph's nodes in an order that the graph allows, the latest first.
void run_nodes(const std::vector<Node> &);
// Ends captures that a forbidden call broke.
void invalidate(Capture *);

// Counts a kernel's or a library call's run and makes it fail where the environment asks for that.
void count_run(const std::string &name);

// Ends a context: reports what it still holds as leaked and frees it.
void end_context(Context *, const char *when);

}  // namespace sim
