#!/usr/bin/env bash
# check.sh: fails unless ptx/ and table.go are what the sources give, byte for byte, and ptxas of CUDA 12 and 13 accept every
# PTX file for every GPU architecture that gcnn supports.
set -euo pipefail
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
./build.sh "$tmp/ptx"
diff -r ptx "$tmp/ptx" >&2 || { echo "check.sh: kernels/ptx is not what the sources give; run go generate ./kernels" >&2; exit 1; }
go run ./gen -out "$tmp/table.go"
diff table.go "$tmp/table.go" >&2 || { echo "check.sh: kernels/table.go is not current; run go generate ./kernels" >&2; exit 1; }
for major in 12 13; do
  ptxas=$(../cuda/toolkit/toolkit.sh $major)/bin/ptxas
  for arch in sm_75 sm_80 sm_86 sm_89 sm_90 sm_100 sm_103 sm_120; do
    for ptx in ptx/*.ptx; do
      "$ptxas" --gpu-name "$arch" --warn-on-spills --warning-as-error -o /dev/null "$ptx" ||
        { echo "check.sh: ptxas of CUDA $major refuses $ptx for $arch" >&2; exit 1; }
    done
  done
  echo "ptxas of CUDA $major accepts kernels/ptx for sm_75 to sm_120"
done
