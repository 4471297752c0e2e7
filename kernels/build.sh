#!/usr/bin/env bash
# build.sh [DIR]: compiles every .cu of this folder to PTX in DIR (default ptx/), with the pinned NVRTC of cuda/toolkit.
# The same sources give the same bytes on every machine.
set -euo pipefail
cd "$(dirname "$0")"
out=${1:-ptx}
toolkit=$(../cuda/toolkit/toolkit.sh nvrtc)
export LD_LIBRARY_PATH=$toolkit/lib
# Every operation is correctly rounded and none is contracted (fmaf is written where it is meant), so that a GPU and the
# simulator give the same bits. compute_75 and PTX 7.8 are taken by every driver of CUDA 12 and 13 for every GPU from Turing on.
options=(--gpu-architecture=compute_75 --std=c++17 --fmad=false --ftz=false --prec-div=true --prec-sqrt=true
  --generate-line-info --include-path=.)
mkdir -p "$out"
for source in *.cu; do
  ptx=$out/${source%.cu}.ptx
  "$toolkit/bin/nvrtc" "$toolkit/lib/libnvrtc.so.11.2" "$source" "$ptx.new" "${options[@]}"
  # NVRTC writes the folder that it ran in into the names of the source files
  sed "s|\"$PWD/|\"|" "$ptx.new" > "$ptx"
  rm "$ptx.new"
done
