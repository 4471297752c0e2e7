#include "settings.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "fault.h"

namespace sim {

static long long number(const char *name, long long otherwise) {
  const char *v = getenv(name);
  if (!v || !*v) return otherwise;
  char *end;
  long long n = strtoll(v, &end, 0);
  if (*end || n < 0) {
    say(format("%s=%s is no number of at least 0", name, v));
    abort();
  }
  return n;
}

// CALL:N:CODE,CALL:N:CODE…
static std::vector<FailedCall> parse_failures(const char *text) {
  std::vector<FailedCall> v;
  for (const char *p = text; p && *p;) {
    char name[128];
    int n, code, used = 0;
    if (sscanf(p, "%127[A-Za-z0-9_]:%d:%d%n", name, &n, &code, &used) != 3 || (p[used] && p[used] != ',')) {
      say(format("GCNN_SIM_FAIL=%s is not CALL:N:CODE,…", text));
      abort();
    }
    v.push_back({name, n, code});
    p += used + (p[used] == ',');
  }
  return v;
}

const Settings &settings() {
  static const Settings s = [] {
    Settings s;
    s.memory = (unsigned long long)number("GCNN_SIM_MEMORY", 8ll << 30);
    s.devices = (int)number("GCNN_SIM_DEVICES", 1);
    s.driver = (int)number("GCNN_SIM_DRIVER", CUDA_VERSION);
    long long cc = number("GCNN_SIM_CAPABILITY", 90);
    s.major = (int)(cc / 10), s.minor = (int)(cc % 10);
    s.no_device = number("GCNN_SIM_NO_DEVICE", 0) != 0;
    s.races = number("GCNN_SIM_RACES", 0) != 0;
    s.lazy = number("GCNN_SIM_LAZY", 0) != 0;
    s.fail_allocation = (int)number("GCNN_SIM_FAIL_ALLOCATION", 0);
    s.fail_launch = (int)number("GCNN_SIM_FAIL_LAUNCH", 0);
    s.lose_device = (int)number("GCNN_SIM_LOSE_DEVICE", 0);
    s.delay_us = (long)number("GCNN_SIM_DELAY_US", 20000);
    s.failures = parse_failures(getenv("GCNN_SIM_FAIL"));
    const char *ties = getenv("GCNN_SIM_POOL_TIES");
    s.pool_ties_last = ties && !strcmp(ties, "last");
    if (ties && strcmp(ties, "first") && strcmp(ties, "last")) {
      say(format("GCNN_SIM_POOL_TIES=%s is neither first nor last", ties));
      abort();
    }
    const char *o = getenv("GCNN_SIM_ORDER");
    s.order = !o ? Order::Forward : !strcmp(o, "reverse") ? Order::Reverse : !strcmp(o, "shuffle") ? Order::Shuffle : Order::Forward;
    if (const char *t = getenv("GCNN_SIM_TRACE")) s.trace = t;
    return s;
  }();
  return s;
}

int injected(const char *call) {
  const auto &failures = settings().failures;
  if (failures.empty()) return 0;
  static std::map<std::string, int> calls;
  int n = ++calls[call];
  for (const FailedCall &f : failures)
    if (f.n == n && f.name == call) {
      say(format("call %d of %s fails with %d as GCNN_SIM_FAIL asks", n, call, f.code));
      return f.code;
    }
  return 0;
}

}  // namespace sim
