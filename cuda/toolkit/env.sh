#!/usr/bin/env bash
# env.sh [12|13|FOLDER]: prints the settings under which `go build -tags cuda` finds its headers, to be evaluated:
#
#   eval "$(cuda/toolkit/env.sh 12)" && go build -tags cuda ./cmd/gcnn
#
# 12 and 13 are the pinned toolkits of toolkit.sh (12 is the default); FOLDER is an installed CUDA with cuDNN, such as
# /usr/local/cuda.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kind=${1:-12}
case $kind in
12 | 13) include=$("$here/toolkit.sh" "$kind")/include ;;
*) include=$(cd "$kind" && pwd)/include ;;
esac
[ -f "$include/cuda.h" ] || { echo "env.sh: $include has no cuda.h" >&2; exit 1; }
# Go's build cache does not see edits of headers outside a package: their checksum makes it build again.
rev=$(cat "$here"/compat/*.h | cksum | cut -d' ' -f1)
echo "export CGO_ENABLED=1"
echo "export CGO_CFLAGS='-O2 -g -I$here/compat -I$include -DGCNN_COMPAT_REV=$rev'"
echo "export CGO_LDFLAGS='-L$(cd "$here/../cudadl/lib" && pwd) -Wl,--as-needed'"
