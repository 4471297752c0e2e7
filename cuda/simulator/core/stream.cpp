// When queued work runs.
#include <algorithm>

#include "device.h"

namespace sim {

// Runs one piece of work whose predecessors have ended. A fault is the device's: later work does not run.
static void execute(const Work &w) {
  Device &d = device();
  if (!d.error) {
    try {
      w->run();
    } catch (const Fault &e) {
      say(w->name + ": " + e.what());
      d.error = sticky(e.code) ? e.code : CUDA_ERROR_LAUNCH_FAILED;
    }
  }
  w->run = nullptr;
  w->done = true;
  w->ended = Clock::now();
}

void complete(const Work &target) {
  if (!target) return;
  Stream *s = target->stream;
  while (!target->done) {
    Work w = s->queue.front();
    for (auto &before : w->after) complete(before);
    w->after.clear();
    if (!w->done) execute(w);
    if (!s->queue.empty() && s->queue.front() == w) s->queue.pop_front();
  }
}

void complete(Stream *s) {
  if (!s->queue.empty()) complete(Work(s->queue.back()));
}

void complete(Context *c) {
  complete(&c->legacy);
  for (auto &s : c->streams) complete(s.get());
}

std::vector<Work> blocking_work(Context *c) {
  std::vector<Work> v;
  for (auto &s : c->streams)
    if (s->blocking() && !s->queue.empty()) v.push_back(s->queue.back());
  return v;
}

void invalidate(Capture *c) {
  if (!c->broken) c->broken = CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
}

void check_implicit(Context *c) {
  for (auto &s : c->streams)
    if (s->live && s->capture && s->blocking()) {
      invalidate(s->capture);
      throw Fault(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, "the legacy stream would wait for a stream that is captured");
    }
}

// Runs work whose time has come.
static void worker() {
  Device &d = device();
  std::unique_lock<std::recursive_mutex> lock(d.mutex);
  for (;;) {
    Work first;
    for (auto &c : d.contexts) {
      auto look = [&](Stream *s) {
        if (!s->queue.empty() && (!first || s->queue.front()->due < first->due)) first = s->queue.front();
      };
      look(&c->legacy);
      for (auto &s : c->streams) look(s.get());
    }
    if (!first) {
      d.queued.wait(lock);
    } else if (first->due > Clock::now()) {
      d.queued.wait_until(lock, first->due);
    } else {
      complete(first);
      lock.unlock(); // let calls in
      std::this_thread::yield();
      lock.lock();
    }
  }
}

static void add_node(Stream *s, CUgraphNodeType type, const std::string &name, std::function<void()> run) {
  Capture *c = s->capture;
  if (c->broken) throw Fault(c->broken, "");
  c->graph->nodes.push_back({type, name, std::move(run), s->tail, c->graph});
  s->tail.assign(1, (int)c->graph->nodes.size() - 1);
}

void submit(Stream *s, CUgraphNodeType type, const std::string &name, std::function<void()> run) {
  if (s->capture) {
    add_node(s, type, name, std::move(run));
    return;
  }
  auto w = std::make_shared<Task>();
  w->name = name, w->run = std::move(run), w->stream = s;
  w->due = Clock::now() + std::chrono::microseconds(settings().delay_us);
  if (s->legacy) {
    check_implicit(s->context);
    w->after = blocking_work(s->context);
  } else if (s->blocking() && !s->context->legacy.queue.empty()) {
    w->after.push_back(s->context->legacy.queue.back());
  }
  w->after.insert(w->after.end(), s->waits.begin(), s->waits.end());
  s->waits.clear();
  s->queue.push_back(w);
  s->last = w;
  if (settings().lazy) return;
  static bool started = [] {
    std::thread(worker).detach();
    return true;
  }();
  (void)started;
  device().queued.notify_one();
}

void run_nodes(const std::vector<Node> &nodes) {
  std::vector<int> left(nodes.size());
  std::vector<std::vector<int>> then(nodes.size());
  std::vector<int> ready;
  for (size_t n = 0; n < nodes.size(); n++) {
    left[n] = (int)nodes[n].after.size();
    for (int b : nodes[n].after) then[(size_t)b].push_back((int)n);
    if (!left[n]) ready.push_back((int)n);
  }
  while (!ready.empty()) {
    auto latest = std::max_element(ready.begin(), ready.end());
    int n = *latest;
    ready.erase(latest);
    if (nodes[(size_t)n].run) nodes[(size_t)n].run();
    for (int t : then[(size_t)n])
      if (!--left[(size_t)t]) ready.push_back(t);
  }
}

}  // namespace sim
