// Stream capture and graphs.
#include <algorithm>
#include <cstdio>
#include <set>

#include "../core/device.h"

using namespace sim;

static Graph *graph_of(CUgraph handle) {
  for (auto &g : device().graphs)
    if ((CUgraph)g.get() == handle) {
      if (!g->live) throw Fault(CUDA_ERROR_INVALID_VALUE, "the graph was destroyed");
      return g.get();
    }
  throw Fault(CUDA_ERROR_INVALID_VALUE, "this is no graph");
}

static Executable *executable_of(CUgraphExec handle) {
  for (auto &g : device().executables)
    if ((CUgraphExec)g.get() == handle) {
      if (!g->live) throw Fault(CUDA_ERROR_INVALID_VALUE, "the executable graph was destroyed");
      return g.get();
    }
  throw Fault(CUDA_ERROR_INVALID_VALUE, "this is no executable graph");
}

SIM_API CUresult cuStreamBeginCapture_v2(CUstream handle, CUstreamCaptureMode mode) {
  API(Current, {
    Stream *s = stream_of(handle);
    if (s->legacy) throw Fault(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "the legacy stream cannot be captured");
    if (s->capture) throw Fault(CUDA_ERROR_ILLEGAL_STATE, "the stream is captured already");
    if (!s->waits.empty()) s->waits.clear(); // they hold for work queued now; captured work is not
    auto g = std::make_unique<Graph>();
    auto c = std::make_unique<Capture>();
    c->graph = g.get(), c->origin = s, c->mode = mode, c->thread = std::this_thread::get_id();
    c->streams.push_back(s);
    s->capture = c.get();
    s->tail.clear();
    device().graphs.push_back(std::move(g));
    device().captures.push_back(std::move(c));
  })
}

// The nodes that come before any of a set, and those of the set.
static std::set<int> ancestors(const Graph &g, const std::vector<int> &of) {
  std::set<int> seen;
  std::vector<int> todo = of;
  while (!todo.empty()) {
    int n = todo.back();
    todo.pop_back();
    if (seen.insert(n).second) todo.insert(todo.end(), g.nodes[(size_t)n].after.begin(), g.nodes[(size_t)n].after.end());
  }
  return seen;
}

SIM_API CUresult cuStreamEndCapture(CUstream handle, CUgraph *out) {
  API(Current, {
    Stream *s = stream_of(handle);
    Capture *c = s->capture;
    *out = nullptr;
    if (!c) throw Fault(CUDA_ERROR_ILLEGAL_STATE, "the stream is not captured");
    if (c->origin != s) {
      invalidate(c);
      throw Fault(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "the capture did not begin in this stream");
    }
    if (c->mode != CU_STREAM_CAPTURE_MODE_RELAXED && c->thread != std::this_thread::get_id()) {
      invalidate(c);
      throw Fault(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, "the capture began on another thread");
    }
    std::set<int> joined = ancestors(*c->graph, s->tail);
    CUresult r = c->broken;
    std::string unjoined;
    for (Stream *x : c->streams) {
      for (int n : x->tail)
        if (!joined.count(n) && !r) r = CUDA_ERROR_STREAM_CAPTURE_UNJOINED, unjoined = format("%s in stream %d was not joined to the stream of the capture", c->graph->nodes[(size_t)n].name.c_str(), x->id);
      x->capture = nullptr;
      x->tail.clear();
    }
    c->origin = nullptr;
    if (r) {
      c->graph->live = false;
      throw Fault(r, r == CUDA_ERROR_STREAM_CAPTURE_INVALIDATED ? "a call during the capture invalidated it" : unjoined);
    }
    *out = (CUgraph)c->graph;
    born("live.graphs");
  })
}

SIM_API CUresult cuStreamIsCapturing(CUstream handle, CUstreamCaptureStatus *status) {
  API(Current, {
    Capture *c = stream_of(handle)->capture;
    *status = !c ? CU_STREAM_CAPTURE_STATUS_NONE : c->broken ? CU_STREAM_CAPTURE_STATUS_INVALIDATED : CU_STREAM_CAPTURE_STATUS_ACTIVE;
  })
}

SIM_API CUresult cuGraphDestroy(CUgraph g) {
  API(Init, {
    graph_of(g)->live = false;
    died("live.graphs");
  })
}

SIM_API CUresult cuGraphGetNodes(CUgraph handle, CUgraphNode *nodes, size_t *count) {
  API(Init, {
    Graph *g = graph_of(handle);
    if (nodes)
      for (size_t k = 0; k < std::min(*count, g->nodes.size()); k++) nodes[k] = (CUgraphNode)&g->nodes[k];
    *count = g->nodes.size();
  })
}

SIM_API CUresult cuGraphNodeGetType(CUgraphNode handle, CUgraphNodeType *type) {
  API(Init, {
    for (auto &g : device().graphs)
      if (g->live)
        for (Node &n : g->nodes)
          if ((CUgraphNode)&n == handle) {
            *type = n.type;
            return;
          }
    throw Fault(CUDA_ERROR_INVALID_VALUE, "this is no node");
  })
}

// GCNN_SIM_TRACE: a line for each node.
static void trace(const Graph &g) {
  if (settings().trace.empty()) return;
  FILE *f = fopen(settings().trace.c_str(), "a");
  if (!f) return;
  fprintf(f, "graph of %zu nodes\n", g.nodes.size());
  for (size_t n = 0; n < g.nodes.size(); n++) {
    fprintf(f, "  %zu %s after", n, g.nodes[n].name.c_str());
    for (int a : g.nodes[n].after) fprintf(f, " %d", a);
    fprintf(f, "\n");
  }
  fclose(f);
}

SIM_API CUresult cuGraphInstantiateWithFlags(CUgraphExec *out, CUgraph handle, unsigned long long flags) {
  API(Init, {
    if (flags & ~(1ull | 8ull)) throw Fault(CUDA_ERROR_NOT_SUPPORTED, format("flags %llu are not implemented", flags));
    Graph *g = graph_of(handle);
    auto e = std::make_unique<Executable>();
    e->nodes = std::make_shared<std::vector<Node>>(g->nodes.begin(), g->nodes.end());
    trace(*g);
    *out = (CUgraphExec)e.get();
    device().executables.push_back(std::move(e));
    born("live.executable graphs");
  })
}

SIM_API CUresult cuGraphExecDestroy(CUgraphExec e) {
  API(Init, {
    executable_of(e)->live = false; // launches under way keep its nodes
    died("live.executable graphs");
  })
}

SIM_API CUresult cuGraphUpload(CUgraphExec e, CUstream s) {
  API(Current, {
    executable_of(e);
    stream_of(s);
  })
}

SIM_API CUresult cuGraphLaunch(CUgraphExec handle, CUstream stream) {
  API(Current, {
    auto nodes = executable_of(handle)->nodes;
    Stream *s = stream_of(stream);
    if (s->capture) throw Fault(CUDA_ERROR_NOT_SUPPORTED, "a graph launch within a capture is not implemented");
    static Counter &launches = counter("graph launches");
    launches.value++;
    submit(s, CU_GRAPH_NODE_TYPE_GRAPH, "cuGraphLaunch", [nodes] { run_nodes(*nodes); });
  })
}
