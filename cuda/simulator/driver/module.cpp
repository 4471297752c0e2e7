// Modules, functions and launches.
#include <cstring>

#include "../core/device.h"

using namespace sim;

SIM_API CUresult cuModuleLoadData(CUmodule *out, const void *image) {
  API(Current | Uncaptured, {
    if (!image) throw Fault(CUDA_ERROR_INVALID_VALUE, "no image");
    const char *text = (const char *)image;
    if (!strncmp(text, "\177ELF", 4) || *(const u32 *)image == 0xBA55ED50) throw Fault(CUDA_ERROR_NOT_SUPPORTED, "the simulator runs PTX, not cubins and fat binaries");
    if (strncmp(text, "//", 2) && strncmp(text, ".version", 8)) throw Fault(CUDA_ERROR_INVALID_IMAGE, "this is no PTX");
    auto m = std::make_unique<LoadedModule>();
    m->context = current();
    parse(text, m->module, device().heap, current());
    for (auto &k : m->module.kernels) {
      auto f = std::make_unique<Function>();
      f->kernel = &k.second, f->module = m.get();
      m->functions[k.first] = std::move(f);
    }
    *out = (CUmodule)m.get();
    current()->modules.push_back(std::move(m));
    born("live.modules");
  })
}

SIM_API CUresult cuModuleLoadDataEx(CUmodule *out, const void *image, unsigned n, CUjit_option *options, void **values) {
  for (unsigned k = 0; k < n; k++)
    if (options[k] == CU_JIT_ERROR_LOG_BUFFER && values && values[k]) ((char *)values[k])[0] = 0;
  return cuModuleLoadData(out, image);
}

static LoadedModule *module_of(CUmodule handle) {
  for (auto &c : device().contexts)
    for (auto &m : c->modules)
      if ((CUmodule)m.get() == handle) {
        if (!m->live) throw Fault(CUDA_ERROR_INVALID_HANDLE, "the module was unloaded");
        return m.get();
      }
  throw Fault(CUDA_ERROR_INVALID_HANDLE, "this is no module");
}

SIM_API CUresult cuModuleUnload(CUmodule handle) {
  API(Current | Uncaptured, {
    LoadedModule *m = module_of(handle);
    complete(m->context);
    for (auto &g : m->module.globals) device().heap.free(g.second.address, false);
    m->live = false;
    died("live.modules");
  })
}

SIM_API CUresult cuModuleGetFunction(CUfunction *f, CUmodule handle, const char *name) {
  API(Current, {
    LoadedModule *m = module_of(handle);
    auto it = m->functions.find(name);
    if (it == m->functions.end()) throw Fault(CUDA_ERROR_NOT_FOUND, format("the module has no kernel %s", name));
    *f = (CUfunction)it->second.get();
  })
}

SIM_API CUresult cuModuleGetGlobal_v2(CUdeviceptr *p, size_t *n, CUmodule handle, const char *name) {
  API(Current, {
    LoadedModule *m = module_of(handle);
    auto it = m->module.globals.find(name);
    if (it == m->module.globals.end()) throw Fault(CUDA_ERROR_NOT_FOUND, format("the module has no variable %s", name));
    if (p) *p = it->second.address;
    if (n) *n = it->second.size;
  })
}

SIM_API CUresult cuFuncGetAttribute(int *v, CUfunction_attribute a, CUfunction handle) {
  API(Current, {
    Function *f = function_of(handle);
    switch (a) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *v = (int)f->kernel->max_threads; break;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: *v = (int)f->kernel->shared_bytes; break;
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES: *v = (int)f->kernel->local_bytes; break;
    default: throw Fault(CUDA_ERROR_NOT_SUPPORTED, format("attribute %d is not implemented", (int)a));
    }
  })
}

SIM_API CUresult cuFuncGetName(const char **name, CUfunction f) { API(Init, *name = function_of(f)->kernel->name.c_str();) }

SIM_API CUresult cuFuncGetParamInfo(CUfunction f, size_t index, size_t *offset, size_t *size) {
  API(Init, {
    const auto &p = function_of(f)->kernel->params;
    if (index >= p.size()) throw Fault(CUDA_ERROR_INVALID_VALUE, "");
    if (offset) *offset = p[index].offset;
    if (size) *size = p[index].size;
  })
}

SIM_API CUresult cuLaunchKernel(CUfunction handle, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned shared, CUstream stream, void **params, void **extra) {
  API(Current, {
    Function *f = function_of(handle);
    Stream *s = stream_of(stream);
    if (extra) throw Fault(CUDA_ERROR_NOT_SUPPORTED, "arguments by extra are not implemented");
    const Kernel *k = f->kernel;
    if (!params && !k->params.empty()) throw Fault(CUDA_ERROR_INVALID_VALUE, k->name + ": no arguments");
    LaunchPlan plan{k, {gx, gy, gz}, {bx, by, bz}, shared, std::vector<u8>(k->param_bytes)};
    for (size_t n = 0; n < k->params.size(); n++) {
      if (!params[n]) throw Fault(CUDA_ERROR_INVALID_VALUE, format("%s: argument %zu is null", k->name.c_str(), n));
      memcpy(plan.arguments.data() + k->params[n].offset, params[n], k->params[n].size);
    }
    try {
      check_launch(plan);
    } catch (const Fault &e) {
      throw Fault(e.code, k->name + ": " + e.what());
    }
    static Counter &direct = counter("launches"), &captured = counter("captured launches");
    (s->capture ? captured : direct).value++;
    LoadedModule *m = f->module;
    submit(s, CU_GRAPH_NODE_TYPE_KERNEL, k->name, [plan, m] {
      if (!m->live) throw Fault(CUDA_ERROR_INVALID_HANDLE, "the kernel's module was unloaded");
      count_run(plan.kernel->name);
      run(plan, device().heap);
    });
  })
}
