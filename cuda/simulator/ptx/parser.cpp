// The parser of PTX. It reads what NVRTC writes; anything else is refused with its name and line.
#include <cstring>
#include <sstream>

#include "../core/fault.h"
#include "program.h"

namespace sim {

const char *const special_registers[special_count] = {"%tid.x", "%tid.y", "%tid.z", "%ntid.x", "%ntid.y", "%ntid.z", "%ctaid.x", "%ctaid.y",
                                                      "%ctaid.z", "%nctaid.x", "%nctaid.y", "%nctaid.z", "%laneid", "%warpid", "%lanemask_lt", "%lanemask_eq"};

static std::string trim(const std::string &s) {
  size_t b = s.find_first_not_of(" \t\r\n"), e = s.find_last_not_of(" \t\r\n");
  return b == std::string::npos ? "" : s.substr(b, e - b + 1);
}

// Splits at commas outside braces and brackets, and drops blanks.
static std::vector<std::string> split(const std::string &s) {
  std::vector<std::string> out;
  std::string t;
  int depth = 0;
  for (char c : s) {
    depth += c == '{' || c == '[';
    depth -= c == '}' || c == ']';
    if (c == ',' && !depth) {
      out.push_back(t);
      t.clear();
    } else if (!isspace((unsigned char)c)) {
      t += c;
    }
  }
  if (!t.empty()) out.push_back(t);
  return out;
}

static bool starts(const std::string &s, const char *prefix) { return s.compare(0, strlen(prefix), prefix) == 0; }

static u32 type_bytes(const std::string &t) {
  if (t.find("64") != std::string::npos) return 8;
  if (t.find("32") != std::string::npos) return 4;
  if (t.find("16") != std::string::npos) return 2;
  if (t.find('8') != std::string::npos) return 1;
  return 0;
}

class Parser {
 public:
  Parser(const std::string &ptx, Module &m, Heap &heap, void *owner) : text_(ptx), module_(m), heap_(heap), owner_(owner) {}

  void run() {
    // Statements end with ; or are directives of a line; labels end with :
    std::string pending;
    std::istringstream in(text_);
    bool section = false;
    for (std::string l; std::getline(in, l);) {
      line_++;
      size_t comment = l.find("//");
      if (comment != std::string::npos) l.resize(comment);
      l = trim(l);
      if (l.empty()) continue;
      if (section) { // debug sections hold no code
        section = l != "}";
        continue;
      }
      if (starts(l, ".section")) {
        section = true;
        continue;
      }
      if (starts(l, ".file") || starts(l, ".loc ") || starts(l, ".loc\t")) {
        location(l);
        continue;
      }
      if (!kernel_ && pending.empty() && (starts(l, ".version") || starts(l, ".target") || starts(l, ".address_size"))) {
        header(l);
        continue;
      }
      if (kernel_ && pending.empty() && l[0] == '$' && l.back() == ':') {
        labels_[l.substr(0, l.size() - 1)] = (int)kernel_->code.size();
        continue;
      }
      pending += (pending.empty() ? "" : " ") + l;
      if (!kernel_ && pending.find(".entry") != std::string::npos) {
        if (l == "{" || l.back() == '{') {
          begin(pending);
          pending.clear();
        }
        continue;
      }
      if (kernel_ && pending == "}") {
        end();
        pending.clear();
        continue;
      }
      if (kernel_ && (pending == "{")) {
        pending.clear();
        continue;
      }
      if (l.back() != ';') continue;
      pending.pop_back();
      std::string s = trim(pending);
      pending.clear();
      if (s.empty()) continue;
      if (!kernel_) variable(s);
      else if (s[0] == '.') declaration(s);
      else statement(s);
    }
    if (kernel_) fail("the module ends within kernel " + kernel_->name);
    if (version_ == 0) fail("there is no .version");
  }

 private:
  const std::string &text_;
  Module &module_;
  Heap &heap_;
  void *owner_;
  Kernel *kernel_ = nullptr;
  int line_ = 0, source_ = 0, file_ = 0, version_ = 0;

  struct Register { char kind; u32 slot; };
  std::map<std::string, Register> registers_;
  std::map<std::string, u32> shared_, local_, constants_;
  std::map<std::string, int> params_, labels_;
  std::vector<std::pair<int, std::string>> branches_;
  std::vector<std::string> extern_shared_;

  [[noreturn]] void fail(const std::string &what, CUresult code = CUDA_ERROR_INVALID_PTX) { throw Fault(code, format("PTX line %d: ", line_) + what); }

  void header(const std::string &l) {
    int major, minor, bits;
    if (sscanf(l.c_str(), ".version %d.%d", &major, &minor) == 2) {
      version_ = major * 10 + minor;
      if (version_ > 88) fail(format("the simulated driver knows PTX up to 8.8, not %d.%d", major, minor), CUDA_ERROR_UNSUPPORTED_PTX_VERSION);
    } else if (sscanf(l.c_str(), ".address_size %d", &bits) == 1 && bits != 64) {
      fail("only .address_size 64");
    }
  }

  void location(const std::string &l) {
    int f, n;
    char name[256];
    if (sscanf(l.c_str(), ".loc %d %d", &f, &n) == 2) file_ = f, source_ = n;
    else if (sscanf(l.c_str(), ".file %d \"%255[^\"]\"", &f, name) == 2 && f >= 0 && f < 1000) {
      if (module_.files.size() <= (size_t)f) module_.files.resize(f + 1);
      const char *slash = strrchr(name, '/');
      module_.files[f] = slash ? slash + 1 : name;
    }
  }

  // .global and .const at module scope; .extern .shared
  void variable(const std::string &s) {
    char space[32], type[16], name[256];
    int align = 1, count = 1;
    std::string d = s;
    for (const char *skip : {".visible ", ".extern ", ".weak "}) if (starts(d, skip)) d = d.substr(strlen(skip));
    size_t equals = d.find('=');
    std::string init = equals == std::string::npos ? "" : trim(d.substr(equals + 1));
    if (equals != std::string::npos) d = trim(d.substr(0, equals));
    int n = sscanf(d.c_str(), ".%31s .align %d .%15s %255[^[ ][%d", space, &align, type, name, &count);
    if (n < 4) fail("module-scope declaration \"" + s + "\" is not implemented");
    if (!strcmp(space, "shared")) {
      if (!starts(s, ".extern")) fail("module-scope .shared is not implemented");
      extern_shared_.push_back(name);
      return;
    }
    if (strcmp(space, "global") && strcmp(space, "const")) fail(std::string("module-scope .") + space + " is not implemented");
    u32 each = type_bytes(type);
    u64 bytes = (u64)each * (u64)count;
    Module::Global g{heap_.allocate(bytes ? bytes : 1, owner_, "module"), bytes};
    u8 *p = heap_.resolve(g.address, bytes, "module");
    memset(p, 0, bytes);
    if (!init.empty()) {
      if (init[0] == '{') init = init.substr(1, init.size() - 2);
      u64 at = 0;
      for (const std::string &v : split(init)) {
        if (at + each > bytes) fail("too many values for " + std::string(name));
        u64 x = v[0] == '0' && (v[1] == 'f' || v[1] == 'F' || v[1] == 'd' || v[1] == 'D') ? strtoull(v.c_str() + 2, nullptr, 16) : strtoull(v.c_str(), nullptr, 0);
        if (!isdigit((unsigned char)v[0]) && v[0] != '-') fail("initial value " + v + " is not implemented");
        memcpy(p + at, &x, each);
        at += each;
      }
    }
    module_.globals[name] = g;
  }

  void begin(const std::string &s) {
    size_t at = s.find(".entry") + 6, open = s.find('(', at), close = s.find(')', open);
    if (open == std::string::npos || close == std::string::npos) fail("entry without parameters in parentheses");
    std::string name = trim(s.substr(at, open - at));
    kernel_ = &module_.kernels[name];
    *kernel_ = Kernel();
    kernel_->name = name;
    kernel_->files = &module_.files;
    registers_.clear(), shared_.clear(), local_.clear(), constants_.clear(), params_.clear(), labels_.clear(), branches_.clear();
    source_ = file_ = 0;
    std::string list = s.substr(open + 1, close - open - 1);
    std::istringstream in(list);
    for (std::string p; std::getline(in, p, ',');) {
      char type[16], pname[256];
      if (sscanf(trim(p).c_str(), ".param .%15s %255[A-Za-z0-9_$]", type, pname) != 2 || p.find(".align") != std::string::npos) fail("parameter \"" + trim(p) + "\" is not implemented");
      u32 size = type_bytes(type), offset = (kernel_->param_bytes + size - 1) / size * size;
      params_[pname] = (int)kernel_->params.size();
      kernel_->params.push_back({offset, size});
      kernel_->param_bytes = offset + size;
    }
    std::string rest = trim(s.substr(close + 1));
    u32 x = 0, y = 1, z = 1;
    if (sscanf(rest.c_str(), ".maxntid %u, %u, %u", &x, &y, &z) >= 1) kernel_->max_threads = x * y * z;
    else if (rest != "{" && !starts(rest, ".minnctapersm")) fail("directive " + rest + " is not implemented");
    for (const std::string &e : extern_shared_) shared_[e] = 0; // moved behind the static part in end()
  }

  void end() {
    Instruction i;
    i.kind = Kind::Return;
    i.line = line_;
    kernel_->code.push_back(i);
    for (auto &b : branches_) {
      auto it = labels_.find(b.second);
      if (it == labels_.end()) fail("label " + b.second + " does not exist");
      kernel_->code[b.first].target = it->second;
    }
    kernel_ = nullptr;
  }

  void declaration(const std::string &s) {
    char type[16], name[256];
    int count = 1, align = 1;
    if (starts(s, ".reg")) {
      int n = sscanf(s.c_str(), ".reg .%15s %255[^<]<%d>", type, name, &count);
      if (n < 2) fail("declaration \"" + s + "\" is not implemented");
      bool predicate = !strcmp(type, "pred");
      u32 bytes = predicate ? 0 : type_bytes(type);
      if (!predicate && !bytes) fail("registers of type ." + std::string(type) + " are not implemented");
      for (int k = 0; k < count; k++) registers_[n == 2 ? trim(name) : name + std::to_string(k)] = predicate ? Register{'p', kernel_->predicates++} : Register{bytes == 8 ? '8' : '4', slot(bytes == 8 ? '8' : '4')};
    } else if (starts(s, ".shared") || starts(s, ".local")) {
      bool shared = starts(s, ".shared");
      int n = sscanf(s.c_str(), shared ? ".shared .align %d .%15s %255[^[][%d" : ".local .align %d .%15s %255[^[][%d", &align, type, name, &count);
      if (n < 3) fail("declaration \"" + s + "\" is not implemented");
      u32 &size = shared ? kernel_->shared_bytes : kernel_->local_bytes;
      size = (size + (u32)align - 1) / (u32)align * (u32)align;
      (shared ? shared_ : local_)[trim(name)] = size;
      size += type_bytes(type) * (u32)count;
    } else if (!starts(s, ".pragma")) {
      fail("directive \"" + s + "\" is not implemented");
    }
  }

  u32 slot(char kind) {
    u32 o = kernel_->register_bytes;
    kernel_->register_bytes += kind == '8' ? 256 : 128;
    return o;
  }

  u32 constant(u64 v, char kind) {
    std::string key = kind + std::to_string(v);
    auto it = constants_.find(key);
    if (it != constants_.end()) return it->second;
    u32 o = slot(kind);
    kernel_->presets.push_back({Preset::Constant, o, (u8)(kind == '8' ? 8 : 4), v});
    return constants_[key] = o;
  }

  u32 operand(const std::string &s, char kind) {
    if (s.empty()) fail("an operand is missing");
    if (s == "_") return slot(kind); // a result that nobody wants
    auto it = registers_.find(s);
    if (it != registers_.end()) {
      if (it->second.kind != kind) fail("register " + s + " is of another width than the instruction's operand");
      return it->second.slot;
    }
    if (s[0] == '%') {
      if (s == "WARP_SZ") return constant(32, kind);
      for (int k = 0; k < special_count; k++)
        if (s == special_registers[k]) {
          if (kind != '4') fail(s + " is of 4 bytes");
          u32 o = slot('4');
          kernel_->presets.push_back({Preset::Special, o, 4, (u64)k});
          registers_[s] = {'4', o};
          return o;
        }
      fail("register " + s + " is not implemented");
    }
    if (kind == 'p') { // an integer may stand for a predicate: true unless it is 0
      if (!isdigit((unsigned char)s[0]) && s[0] != '-') fail("operand " + s + " is no predicate");
      u32 o = kernel_->predicates++;
      kernel_->presets.push_back({Preset::Constant, o, 0, strtoull(s.c_str(), nullptr, 0)});
      return o;
    }
    if (s[0] == '0' && s.size() > 2 && strchr("fFdD", s[1])) {
      if ((s.size() == 18) != (kind == '8')) fail("constant " + s + " is of another width than the instruction's operand");
      return constant(strtoull(s.c_str() + 2, nullptr, 16), kind);
    }
    if (isdigit((unsigned char)s[0]) || s[0] == '-') {
      u64 v = s[0] == '-' ? (u64)strtoll(s.c_str(), nullptr, 0) : strtoull(s.c_str(), nullptr, 0);
      return constant(kind == '8' ? v : (u32)v, kind);
    }
    if (shared_.count(s)) return constant(shared_[s], kind);
    if (local_.count(s)) return constant(local_[s], kind);
    auto g = module_.globals.find(s);
    if (g != module_.globals.end()) return constant(g->second.address, kind);
    fail("operand " + s + " is not implemented");
  }

  // [register+offset] or [name+offset]
  void address(Instruction &i, std::string s) {
    if (s.size() < 3 || s[0] != '[') fail("operand " + s + " is no address");
    s = s.substr(1, s.size() - 2);
    size_t plus = s.find_first_of("+-", 1);
    if (plus != std::string::npos) {
      i.offset = strtoll(s.c_str() + plus + (s[plus] == '+'), nullptr, 0);
      s.resize(plus);
    }
    auto it = registers_.find(s);
    i.wide = it == registers_.end() ? i.space != Space::Shared && i.space != Space::Local : it->second.kind == '8';
    i.a = operand(s, i.wide ? '8' : '4');
  }

  void vector(Instruction &i, const std::string &s, char kind) {
    auto list = split(s[0] == '{' ? s.substr(1, s.size() - 2) : s);
    if (list.empty() || list.size() > 4) fail("vector " + s);
    i.width = (u8)list.size();
    for (size_t k = 0; k < list.size(); k++) i.vector[k] = operand(list[k], kind);
  }

  void need(const std::vector<std::string> &operands, size_t n, const std::string &op) {
    if (operands.size() != n) fail(format("%s has %zu operands, not %zu", op.c_str(), operands.size(), n));
  }

  void statement(std::string s) {
    Instruction i;
    i.line = line_, i.source = source_, i.file = file_;
    if (s[0] == '@') {
      i.negated = s[1] == '!';
      size_t e = s.find_first_of(" \t");
      i.guard = (int)operand(s.substr(1 + i.negated, e - 1 - i.negated), 'p');
      s = trim(s.substr(e));
    }
    size_t e = s.find_first_of(" \t");
    std::string op = s.substr(0, e);
    auto operands = split(e == std::string::npos ? "" : s.substr(e));
    if (op == "bra" || op == "bra.uni") {
      need(operands, 1, op);
      i.kind = Kind::Branch;
      branches_.push_back({(int)kernel_->code.size(), operands[0]});
    } else if (op == "ret" || op == "exit" || op == "ret.uni") {
      i.kind = Kind::Return;
    } else if (op == "bar.sync" || op == "barrier.sync" || op == "barrier.sync.aligned") {
      i.kind = Kind::Barrier;
      if (operands.size() != 1 || operands[0] != "0") fail("only barrier 0 of the whole block is implemented, not " + s);
    } else if (starts(op, "ld.param.")) {
      parameter(i, op, operands);
    } else if (starts(op, "ld.") || starts(op, "st.") || starts(op, "atom.") || starts(op, "red.")) {
      access(i, op, operands);
    } else {
      plain(i, op, operands);
    }
    kernel_->code.push_back(i);
  }

  // ld.param d, [name] or [name+offset]. As for every load, d may be wider than what is read, which is then extended; never narrower.
  void parameter(Instruction &i, const std::string &op, const std::vector<std::string> &operands) {
    need(operands, 2, op);
    if (operands[0][0] == '{') fail("opcode " + op + " of a vector is not implemented");
    std::string name = operands[1].substr(1, operands[1].size() - 2), type = op.substr(9);
    u64 offset = 0;
    if (size_t plus = name.find('+'); plus != std::string::npos) offset = strtoull(name.c_str() + plus + 1, nullptr, 0), name.resize(plus);
    auto it = params_.find(name);
    if (it == params_.end()) fail("parameter " + name + " does not exist");
    const Parameter &p = kernel_->params[(size_t)it->second];
    u32 bytes = type_bytes(type);
    if (!bytes || offset % bytes || offset + bytes > p.size) fail(format("%u bytes at %llu of parameter %s, which is of %u bytes", bytes, (unsigned long long)offset, name.c_str(), p.size));
    auto r = registers_.find(operands[0]);
    char kind = bytes == 8 || (r != registers_.end() && r->second.kind == '8') ? '8' : '4';
    i.d = operand(operands[0], kind);
    i.a = slot(kind);
    kernel_->presets.push_back({Preset::Param, i.a, (u8)(kind == '8' ? 8 : 4), p.offset + offset, (u8)bytes, type[0] == 's'});
    i.run = find_operation(kind == '8' ? "mov.u64" : "mov.u32")->run;
  }

  void access(Instruction &i, const std::string &op, const std::vector<std::string> &operands) {
    Access a = {};
    bool load = starts(op, "ld."), store = starts(op, "st."), wide = false;
    if ((load || store) && operands.size() == 2) { // what is the register's width?
      std::string r = operands[load ? 0 : 1];
      if (r[0] == '{') r = r.substr(1, r.find_first_of(",}") - 1);
      auto it = registers_.find(r);
      wide = it != registers_.end() && it->second.kind == '8';
    }
    try {
      a = find_access(op, wide);
    } catch (const std::string &why) {
      fail("opcode " + op + " is not implemented (" + why + ")");
    }
    i.run = a.run, i.space = a.space, i.strong = a.strong;
    if (a.load || a.store) {
      need(operands, 2, op);
      address(i, operands[a.load ? 0 + 1 : 0]);
      vector(i, operands[a.load ? 0 : 1], a.lane);
      return;
    }
    bool result = op[0] == 'a';
    need(operands, (result ? 3u : 2u) + (a.compare ? 1u : 0u), op);
    size_t k = 0;
    if (result) i.d = operand(operands[k++], a.lane);
    address(i, operands[k++]);
    i.b = operand(operands[k++], a.lane);
    if (a.compare) i.c = operand(operands[k], a.lane);
  }

  void plain(Instruction &i, const std::string &op, const std::vector<std::string> &operands) {
    std::string key = op;
    if (op == "mov.b64" && operands.size() == 2 && operands[0][0] == '{') key = "mov.b64.unpack";
    if (op == "mov.b64" && operands.size() == 2 && operands[1][0] == '{') key = "mov.b64.pack";
    const Operation *o = find_operation(key);
    if (!o) fail("opcode " + op + " is not implemented");
    i.run = o->run;
    if (key == "mov.b64.unpack") {
      vector(i, operands[0], '4');
      i.a = operand(operands[1], '8');
      return;
    }
    if (key == "mov.b64.pack") {
      i.d = operand(operands[0], '8');
      vector(i, operands[1], '4');
      return;
    }
    if (o->operands == "S") { // shfl: d[|p], a, b, c, mask
      need(operands, 5, op);
      std::string d = operands[0];
      size_t bar = d.find('|');
      if (bar != std::string::npos) i.pair = operand(d.substr(bar + 1), 'p') + 1, d.resize(bar);
      i.d = operand(d, '4'), i.a = operand(operands[1], '4'), i.b = operand(operands[2], '4'), i.c = operand(operands[3], '4'), i.e = operand(operands[4], '4');
      i.kind = Kind::Converge;
      return;
    }
    need(operands, o->operands.size(), op);
    u32 *fields[] = {&i.d, &i.a, &i.b, &i.c, &i.e};
    for (size_t k = 0; k < operands.size(); k++) {
      if (o->operands[k] == 'C') { // the mask of lanes to wait for
        i.e = operand(operands[k], '4');
        i.kind = Kind::Converge;
      } else {
        *fields[k] = operand(operands[k], o->operands[k]);
      }
    }
  }
};

void parse(const std::string &ptx, Module &module, Heap &heap, void *owner) { Parser(ptx, module, heap, owner).run(); }

}  // namespace sim
