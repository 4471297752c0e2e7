// The interpreter: correct kernels, seeded bugs that it must find, and modules that it must refuse.
#include "harness.h"

static const char *ptx_path;

static CUfunction function(const char *name) {
  CUmodule m;
  CUfunction f;
  OK(cuModuleLoadData(&m, slurp(ptx_path).c_str()));
  OK(cuModuleGetFunction(&f, m, name));
  return f;
}

// Runs kernel(x, n) over grid×block on an array of `size` floats that hold their index; returns what the synchronisation does.
static int launch(const char *name, unsigned grid, unsigned block, int size, int n, std::vector<float> *result = nullptr, unsigned shared = 0) {
  context();
  CUfunction f = function(name);
  std::vector<float> v((size_t)size);
  for (int i = 0; i < size; i++) v[(size_t)i] = (float)i;
  CUdeviceptr x = upload(v);
  void *args[] = {&x, &n};
  OK(cuLaunchKernel(f, grid, 1, 1, block, 1, 1, shared, nullptr, args, nullptr));
  int r = cuCtxSynchronize();
  if (result && !r) *result = download(x, v.size());
  return r;
}

TEST("a correct kernel", [] {
  std::vector<float> v;
  OK(launch("twice", 5, 256, 1100, 1100, &v));
  for (int i = 0; i < 1100; i++) CHECK(v[(size_t)i] == 2 * (float)i);
});
TEST("a grid of fewer threads than elements", [] {
  std::vector<float> v;
  OK(launch("twice", 1, 33, 1100, 1100, &v));
  CHECK(v[32] == 64 && v[33] == 33);
});
TEST("local memory", [] {
  std::vector<float> v;
  OK(launch("local_array", 1, 64, 64, 3, &v));
  for (int i = 0; i < 64; i++) CHECK(v[(size_t)i] == (float)(i + (i + 3) % 8));
});
TEST("module-scope variables", [] {
  context();
  CUfunction f = function("variables");
  CUdeviceptr x = upload({0});
  for (float want : {3.0f + 5, 3.0f + 7}) {
    int n = 2;
    void *args[] = {&x, &n};
    OK(cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, nullptr, args, nullptr));
    CHECK(download(x, 1)[0] == want);
  }
});
TEST("dynamic shared memory", [] {
  std::vector<float> v;
  OK(launch("dynamic", 1, 64, 64, 64, &v, 256));
  for (int i = 0; i < 64; i++) CHECK(v[(size_t)i] == (float)(63 - i));
});
TEST("atomics in every order of blocks", [] {
  setenv("GCNN_SIM_ORDER", "shuffle", 1);
  setenv("GCNN_SIM_RACES", "1", 1);
  std::vector<float> v;
  OK(launch("atomic_count", 7, 96, 1, 1, &v));
  CHECK(v[0] == 7 * 96);
});

#define BUG(name, code, says, ...) TEST("bug: " name, [] { EXPECT(code, launch(name, __VA_ARGS__)); }, says)
BUG("no_guard", CUDA_ERROR_ILLEGAL_ADDRESS, "kernel no_guard at bugs.cu:4", 2, 256, 500, 500);
BUG("off_by_one", CUDA_ERROR_ILLEGAL_ADDRESS, "end 4 bytes behind the end of allocation #", 2, 256, 500, 500);
BUG("wrap", CUDA_ERROR_ILLEGAL_ADDRESS, "global store", 1, 32, 64, 0);
BUG("misaligned", CUDA_ERROR_MISALIGNED_ADDRESS, "store of 16 bytes", 1, 32, 64, 1);
BUG("missing_barrier", CUDA_ERROR_LAUNCH_FAILED, "shared memory that nobody wrote", 1, 256, 256, 256);
BUG("second_write", CUDA_ERROR_LAUNCH_FAILED, "shared-memory race", 1, 256, 256, 256);
BUG("barrier_in_branch", CUDA_ERROR_LAUNCH_TIMEOUT, "a barrier in a branch?", 1, 64, 64, 40);
BUG("barrier_after_exit", CUDA_ERROR_LAUNCH_TIMEOUT, "__syncthreads is not reached by every warp", 1, 128, 128, 2);
BUG("uninitialised", CUDA_ERROR_LAUNCH_FAILED, "shared memory that nobody wrote", 1, 64, 64, 63);
BUG("shared_overrun", CUDA_ERROR_ILLEGAL_ADDRESS, "shared access at byte 256 of 256", 1, 64, 64, 1);
BUG("shuffle_absent", CUDA_ERROR_ILLEGAL_INSTRUCTION, "shfl.sync reads lane 20, which takes no part", 1, 32, 32, 20);
BUG("dynamic", CUDA_ERROR_ILLEGAL_ADDRESS, "shared access", 1, 64, 64, 64, nullptr, 128);
TEST("bug: block_race", [] {
  setenv("GCNN_SIM_RACES", "1", 1);
  EXPECT(CUDA_ERROR_LAUNCH_FAILED, launch("block_race", 2, 32, 1, 1));
}, "written by another block");
TEST("bug: lost_count", [] {
  setenv("GCNN_SIM_RACES", "1", 1);
  EXPECT(CUDA_ERROR_LAUNCH_FAILED, launch("lost_count", 2, 32, 1, 1));
}, "race between blocks");

static void load(CUresult want, const std::string &ptx) {
  context();
  CUmodule m;
  EXPECT(want, cuModuleLoadData(&m, ptx.c_str()));
}

static std::string module(const std::string &statement, const char *version = "7.8") { return std::string(".version ") + version + "\n.target sm_75\n.address_size 64\n.visible .entry k(\n\t.param .u64 k_param_0\n)\n{\n\t.reg .b32 %r<4>;\n\t.reg .b64 %rd<4>;\n\t" + statement + "\n\tret;\n}\n"; }

TEST("an unknown opcode", [] { load(CUDA_ERROR_INVALID_PTX, module("frobnicate.u32 %r1, %r2;")); }, "PTX line 10: opcode frobnicate.u32 is not implemented");
TEST("an unknown modifier", [] { load(CUDA_ERROR_INVALID_PTX, module("ld.global.mystery.u32 %r1, [%rd1];")); }, "modifier .mystery");
TEST("a register of another width", [] { load(CUDA_ERROR_INVALID_PTX, module("add.s32 %r1, %rd2, %r3;")); }, "another width");
TEST("a call", [] { load(CUDA_ERROR_INVALID_PTX, module("call.uni f, ();")); }, "call.uni is not implemented");
TEST("an unknown special register", [] { load(CUDA_ERROR_INVALID_PTX, module("mov.u32 %r1, %smid;")); }, "%smid");
TEST("PTX that is too new", [] { load(CUDA_ERROR_UNSUPPORTED_PTX_VERSION, module("", "9.5")); }, "up to 8.8");
// What a compiler may emit and ptxas of CUDA 12 and 13 accepts: tried with both. A kernel k(u64 out, s32 n) stores what it computed.
static unsigned computed(const std::string &statements, int n) {
  context();
  std::string ptx = ".version 7.8\n.target sm_75\n.address_size 64\n.visible .entry k(\n\t.param .u64 k_param_0,\n\t.param .s32 k_param_1\n)\n{\n\t.reg .pred %p<4>;\n\t.reg .b32 %r<4>;\n\t.reg .b64 %rd<4>;\n\tld.param.u64 %rd1, [k_param_0];\n\tmov.u32 %r1, 0;\n";
  ptx += statements + "\n\tst.global.u32 [%rd1], %r1;\n\tret;\n}\n";
  CUmodule m;
  CUfunction f;
  OK(cuModuleLoadData(&m, ptx.c_str()));
  OK(cuModuleGetFunction(&f, m, "k"));
  CUdeviceptr x = upload({0});
  void *args[] = {&x, &n};
  OK(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, nullptr, args, nullptr));
  OK(cuCtxSynchronize());
  float v = download(x, 1)[0];
  unsigned bits;
  memcpy(&bits, &v, 4);
  return bits;
}

TEST("integers for predicates", [] {
  for (auto [constant, want] : {std::pair{"0", 5u}, {"1", 7u}, {"-1", 7u}, {"0xffffffff", 7u}})
    CHECK(computed(std::string("\tmov.pred %p1, ") + constant + ";\n\tselp.b32 %r1, 7, 5, %p1;", 0) == want);
  CHECK(computed("\tmov.pred %p1, -1;\n\tand.pred %p2, %p1, 0;\n\tnot.pred %p3, %p2;\n\tselp.b32 %r1, 7, 5, %p3;", 0) == 7);
});
TEST("parameters in wider registers", [] {
  const char *high = "\n\tshr.u64 %rd2, %rd2, 32;\n\tcvt.u32.u64 %r1, %rd2;";
  CHECK(computed(std::string("\tld.param.u32 %rd2, [k_param_1];") + high, -2) == 0);
  CHECK(computed(std::string("\tld.param.b32 %rd2, [k_param_1];") + high, -2) == 0);
  CHECK(computed(std::string("\tld.param.s32 %rd2, [k_param_1];") + high, -2) == 0xffffffff);
  CHECK(computed("\tld.param.u32 %rd2, [k_param_1];\n\tcvt.u32.u64 %r1, %rd2;", -2) == 0xfffffffe);
  CHECK(computed("\tld.param.s8 %r1, [k_param_1];", 0xf5) == 0xfffffff5);
  CHECK(computed("\tld.param.u8 %r1, [k_param_1+1];", 0xf5e4) == 0xf5);
  CHECK(computed("\tld.param.s16 %r1, [k_param_1+2];", 0x80010000) == 0xffff8001);
});
TEST("a parameter in a narrower register", [] { load(CUDA_ERROR_INVALID_PTX, module("ld.param.u64 %r1, [k_param_0];")); }, "another width");
TEST("beside a parameter", [] { load(CUDA_ERROR_INVALID_PTX, module("ld.param.u32 %r1, [k_param_0+8];")); }, "4 bytes at 8 of parameter k_param_0, which is of 8 bytes");
TEST("a move to another width", [] { load(CUDA_ERROR_INVALID_PTX, module("mov.u32 %rd1, %r1;")); }, "another width");
TEST("no PTX", [] { load(CUDA_ERROR_INVALID_IMAGE, "hello"); }, "this is no PTX");
TEST("a truncated module", [] { load(CUDA_ERROR_INVALID_PTX, module("").substr(0, 120)); }, "ends within kernel k");
TEST("a wrong launch", [] {
  context();
  CUfunction f = function("twice");
  CUdeviceptr x = allocate(4);
  int n = 1;
  void *args[] = {&x, &n};
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(f, 0, 1, 1, 32, 1, 1, 0, nullptr, args, nullptr));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(f, 1, 65536, 1, 32, 1, 1, 0, nullptr, args, nullptr));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(f, 1, 1, 1, 1025, 1, 1, 0, nullptr, args, nullptr));
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 50000, nullptr, args, nullptr));
  args[1] = nullptr;
  EXPECT(CUDA_ERROR_INVALID_VALUE, cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, nullptr, args, nullptr));
  OK(cuCtxSynchronize());
}, "argument 1 is null");

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  ptx_path = argv[1];
  return run_all();
}
