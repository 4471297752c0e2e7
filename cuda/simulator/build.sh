#!/usr/bin/env bash
# build.sh [12|13] [sanitize]: builds the stand-ins for libcuda.so.1, libcudnn.so.9 and libcublas.so.12 or .13 against the real
# headers of that CUDA (12 by default) and prints their folder, the only line on standard output. "sanitize" builds them with
# ASan and UBSan. The folder is .cache/simulator/… at the project's root, named by a hash of the sources: a second run builds
# nothing.
set -euo pipefail
cd "$(dirname "$0")"
major=${1:-12} variant=${2:-plain}
toolkit=$(../toolkit/toolkit.sh "$major")
flags=(-std=c++20 -g -Wall -Wextra -Werror -Wno-deprecated-declarations -fPIC -ffp-contract=off -fno-math-errno "-I$toolkit/include")
# fma must be an instruction, or the interpreter crawls; the bits are the same
if grep -qw fma /proc/cpuinfo && grep -qw avx2 /proc/cpuinfo; then flags+=(-march=x86-64-v3); fi
case $variant in
plain) flags+=(-O2 -ftree-vectorize) ;;
sanitize) flags+=(-O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined) ;;
*) echo "build.sh: no variant named $variant; there are plain and sanitize" >&2; exit 2 ;;
esac
hash=$( (echo "${flags[@]}" "$(g++ --version | head -1)"; cat build.sh ../cudadl/symbols.h core/* ptx/* driver/* dnn/* blas/*) | sha256sum | cut -c1-12)
out=$(realpath -m "../../.cache/simulator/$major-$variant-$hash")
if [ -f "$out/.done" ]; then echo "$out"; exit 0; fi
echo "build.sh: building the simulator for CUDA $major ($variant)" >&2
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
printf '%s\n' core/*.cpp ptx/*.cpp driver/*.cpp dnn/*.cpp blas/*.cpp |
  xargs -P "$(nproc)" -I{} sh -c 'src=$1; tmp=$2; shift 2; g++ "$@" -c "$src" -o "$tmp/$(echo "$src" | tr / _).o"' sh {} "$tmp" "${flags[@]}"

# stubs LIBRARY OBJECTS…: every function of symbols.h that the objects lack says its name and NOT_SUPPORTED
stubs() {
  local lib=$1 code=$2 source=$tmp/stubs_$1.c
  shift 2
  nm --defined-only -j "$@" | sort -u > "$tmp/defined"
  { echo '#include <stdio.h>'
    sed -n "s/^[RX]($lib, \(.*\))\$/\1/p" ../cudadl/symbols.h | sort -u | comm -23 - "$tmp/defined" |
      sed "s/.*/int &(void) { fprintf(stderr, \"simulator: & is not implemented\\\\n\"); return $code; }/"
  } > "$source"
  gcc -c -O1 -fPIC "$source" -o "$tmp/stubs_$lib.o"
}
stubs CU 801 "$tmp"/core_*.o "$tmp"/ptx_*.o "$tmp"/driver_*.o
stubs DNN 3000 "$tmp"/dnn_*.o
stubs BLAS 15 "$tmp"/blas_*.o

mkdir -p "$out"
link() {
  local name=$1
  shift
  # --no-undefined would refuse the sanitizers, whose symbols come from the program
  g++ "${flags[@]}" -shared -Wl,-soname,"$name" -Wl,-rpath,'$ORIGIN' -o "$out/$name" "$@" -lpthread
}
link libcuda.so.1 "$tmp"/core_*.o "$tmp"/ptx_*.o "$tmp"/driver_*.o "$tmp"/stubs_CU.o
link libcudnn.so.9 "$tmp"/dnn_*.o "$tmp"/stubs_DNN.o -L"$out" -l:libcuda.so.1
link "libcublas.so.$major" "$tmp"/blas_*.o "$tmp"/stubs_BLAS.o -L"$out" -l:libcuda.so.1
touch "$out/.done"
echo "$out"
