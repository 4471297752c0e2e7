#!/usr/bin/env bash
# test.sh [12|13] [sanitize]: builds the simulator and runs its own tests, seeded bugs among them. math_test tries every 97th
# float32; with GCNN_EXHAUSTIVE=1 all of them, which takes minutes.
set -euo pipefail
cd "$(dirname "$0")"
major=${1:-12} variant=${2:-plain}
libs=$(./build.sh "$major" "$variant")
toolkit=$(../toolkit/toolkit.sh "$major")
nvrtc=$(../toolkit/toolkit.sh nvrtc)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
flags=(-std=c++20 -O1 -g -Wall -Wextra -Werror -Wno-deprecated-declarations -ffp-contract=off "-I$toolkit/include")
[ "$variant" = plain ] || flags+=(-fsanitize=address,undefined -fno-sanitize-recover=undefined)
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0}
LD_LIBRARY_PATH=$nvrtc/lib "$nvrtc/bin/nvrtc" "$nvrtc/lib/libnvrtc.so.11.2" test/bugs.cu "$tmp/bugs.ptx" --gpu-architecture=compute_75 --std=c++17 --generate-line-info
status=0
for t in ptx driver dnn blas; do
  g++ "${flags[@]}" -o "$tmp/$t" "test/${t}_test.cpp" -L"$libs" -Wl,-rpath,"$libs" -l:libcudnn.so.9 -l:"libcublas.so.$major" -l:libcuda.so.1 -lpthread
  echo "== $t ($variant, CUDA $major)"
  "$tmp/$t" "$tmp/bugs.ptx" || status=1
done
if [ "$variant" = plain ]; then
  march=; grep -qw fma /proc/cpuinfo && march=-march=x86-64-v3
  g++ -std=c++20 -O2 $march -ffp-contract=off -Wall -Wextra -Werror -o "$tmp/math" test/math_test.cpp -lpthread
  echo "== math.cuh"
  "$tmp/math" "$([ -n "${GCNN_EXHAUSTIVE:-}" ] && echo 1 || echo 97)" || status=1
fi
exit $status
