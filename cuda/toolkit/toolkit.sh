#!/usr/bin/env bash
# toolkit.sh KIND [DIR]: lays one pinned toolkit and prints its folder, the only line on standard output.
#
#   12     headers of CUDA 12 and cuDNN 9, bin/ptxas
#   13     headers of CUDA 13 and cuDNN 9, bin/ptxas
#   nvrtc  lib/libnvrtc.so.11.2 and bin/nvrtc, the compiler of kernels/*.cu
#
# The wheels are pinned by version and sha256 in requirements-KIND.txt. The folder is DIR, or
# .cache/cuda/KIND-HASH at the project's root, where HASH is that of the pins and of this script: a
# second run downloads nothing, and a changed pin makes a new folder. GCNN_CUDA_CACHE moves .cache/cuda.
# Libraries are not kept: gcnn opens the machine's own at run time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kind=${1:?usage: toolkit.sh 12|13|nvrtc [DIR]}
pins=$here/requirements-$kind.txt
[ -f "$pins" ] || { echo "toolkit.sh: no toolkit named $kind; there are 12, 13 and nvrtc" >&2; exit 2; }
stamp=$(cat "$pins" "$here/toolkit.sh" "$here/nvrtc.c" | sha256sum | cut -c1-12)
cache=${GCNN_CUDA_CACHE:-$here/../../.cache/cuda}
dir=$(realpath -m "${2:-$cache/$kind-$stamp}")
if [ "$(cat "$dir/.stamp" 2>/dev/null)" = "$stamp" ]; then echo "$dir"; exit 0; fi

# Made beside its place and moved there whole, so that a broken download leaves nothing that looks ready.
mkdir -p "$(dirname "$dir")"
tmp=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
echo "toolkit.sh: downloading the wheels of requirements-$kind.txt" >&2
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-cache-dir --no-compile \
  --only-binary :all: --no-deps --require-hashes --target "$tmp/wheels" -r "$pins" >&2
mkdir "$tmp/include" "$tmp/lib" "$tmp/bin"
case $kind in
nvrtc)
  cp "$tmp"/wheels/nvidia/cuda_nvrtc/lib/libnvrtc*.so* "$tmp/lib/"
  "${CC:-cc}" -O2 -Wall -Wextra -Werror -o "$tmp/bin/nvrtc" "$here/nvrtc.c" -ldl
  ;;
*)
  for d in "$tmp"/wheels/nvidia/*/include; do cp -rL "$d/." "$tmp/include/"; done
  cp "$(find "$tmp/wheels" -path '*/bin/ptxas' -type f | head -1)" "$tmp/bin/"
  for h in cuda.h cudnn.h cublas_v2.h crt/host_defines.h nv/target; do
    [ -f "$tmp/include/$h" ] || { echo "toolkit.sh: the wheels of $kind lack include/$h" >&2; exit 1; }
  done
  ;;
esac
rm -rf "$tmp/wheels"
chmod 755 "$tmp" "$tmp"/bin/*
echo "$stamp" > "$tmp/.stamp"
rm -rf "$dir"
mv "$tmp" "$dir"
trap - EXIT
echo "$dir"
