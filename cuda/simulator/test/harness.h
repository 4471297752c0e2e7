// A test in C++ of the simulator. Each case runs in a process of its own, since a fault of the device stays: it may set the
// environment before its first call, and says what its messages must contain.
#pragma once
#include <cuda.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

struct Case {
  const char *name;
  std::function<void()> run;
  const char *says;   // what standard error must contain; null: it must be empty
  int signal;         // that must end the process; 0: none
};

inline std::vector<Case> &cases() {
  static std::vector<Case> c;
  return c;
}

struct Register {
  Register(const char *name, std::function<void()> run, const char *says = nullptr, int signal = 0) { cases().push_back({name, run, says, signal}); }
};

#define CONCAT_(a, b) a##b
#define CONCAT(a, b) CONCAT_(a, b)
#define TEST(...) static Register CONCAT(case_, __COUNTER__)(__VA_ARGS__)

[[noreturn]] inline void fail(int line, const std::string &what) {
  printf("    line %d: %s\n", line, what.c_str());
  fflush(stdout);
  _exit(1);
}

#define CHECK(condition) do { if (!(condition)) fail(__LINE__, #condition); } while (0)
// A call's result, of whichever library.
#define EXPECT(code, call) do { int got_ = (int)(call); if (got_ != (int)(code)) fail(__LINE__, std::string(#call) + " returned " + std::to_string(got_) + ", not " + #code); } while (0)
#define OK(call) EXPECT(0, call)

inline std::string slurp(const char *path) {
  std::ifstream in(path);
  std::stringstream s;
  s << in.rdbuf();
  return s.str();
}

int main(int argc, char **argv);

// The primary context of device 0, current on this thread.
inline CUcontext context() {
  CUcontext c;
  OK(cuInit(0));
  OK(cuDevicePrimaryCtxRetain(&c, 0));
  OK(cuCtxSetCurrent(c));
  return c;
}

inline CUdeviceptr allocate(size_t n) {
  CUdeviceptr p;
  OK(cuMemAlloc(&p, n));
  return p;
}

inline CUdeviceptr upload(const std::vector<float> &v) {
  CUdeviceptr p = allocate(v.size() * 4);
  OK(cuMemcpyHtoD(p, v.data(), v.size() * 4));
  return p;
}

inline std::vector<float> download(CUdeviceptr p, size_t n) {
  std::vector<float> v(n);
  OK(cuMemcpyDtoH(v.data(), p, n * 4));
  return v;
}

inline std::vector<float> numbers(size_t n, unsigned seed) {
  std::vector<float> v(n);
  for (auto &x : v) {
    seed = seed * 1664525 + 1013904223;
    x = (float)(int)(seed >> 8) / 8388608.0f - 1;
  }
  return v;
}

inline bool run_case(const Case &c) {
  int err[2], status;
  if (pipe(err)) abort();
  fflush(stdout);
  pid_t child = fork();
  if (!child) {
    dup2(err[1], 2);
    close(err[0]);
    close(err[1]);
    c.run();
    fflush(stdout);
    _exit(0);
  }
  close(err[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = read(err[0], buffer, sizeof buffer)) > 0;) text.append(buffer, (size_t)n);
  close(err[0]);
  waitpid(child, &status, 0);
  bool ok = c.signal ? WIFSIGNALED(status) && WTERMSIG(status) == c.signal : WIFEXITED(status) && WEXITSTATUS(status) == 0;
  if (c.signal && !ok && WIFEXITED(status) && WEXITSTATUS(status) != 0 && text.find("AddressSanitizer") != std::string::npos) ok = true; // it turns signals into exits
  bool said = c.says ? text.find(c.says) != std::string::npos : text.empty() || c.signal;
  if (ok && said) return true;
  printf("FAIL %s: %s%s\n", c.name, ok ? "" : ("status " + std::to_string(status) + "; ").c_str(), said ? "" : (std::string("must say \"") + (c.says ? c.says : "nothing") + "\"").c_str());
  printf("%s", text.c_str());
  return false;
}

inline int run_all() {
  int failed = 0;
  for (const Case &c : cases()) failed += !run_case(c);
  printf("%zu cases, %d failed\n", cases().size(), failed);
  return failed != 0;
}
