#include "counters.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "fault.h"

namespace sim {

static const int capacity = 1024;

static Counter *table() {
  static Counter *t = [] {
    size_t bytes = capacity * sizeof(Counter);
    void *p = MAP_FAILED;
    if (const char *dir = getenv("GCNN_SIM_STATS")) {
      std::string path = format("%s/%d.stats", dir, (int)getpid());
      int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0644);
      if (fd >= 0 && ftruncate(fd, (off_t)bytes) == 0) p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
      if (p == MAP_FAILED) say(format("cannot write %s: %s", path.c_str(), strerror(errno)));
      if (fd >= 0) close(fd);
    }
    if (p == MAP_FAILED) p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) abort();
    return (Counter *)p;
  }();
  return t;
}

Counter &counter(const char *name) {
  Counter *t = table();
  int i = 0;
  for (; i < capacity - 1 && t[i].name[0]; i++)
    if (!strncmp(t[i].name, name, sizeof t[i].name - 1)) return t[i];
  snprintf(t[i].name, sizeof t[i].name, "%s", name);
  return t[i];
}

int report_leaks(const char *when) {
  Counter *t = table();
  int kinds = 0;
  for (int i = 0; i < capacity && t[i].name[0]; i++)
    if (!strncmp(t[i].name, "live.", 5) && t[i].value) {
      say(format("leak at %s: %lld of %s", when, (long long)t[i].value, t[i].name + 5));
      kinds++;
    }
  return kinds;
}

}  // namespace sim
