#!/usr/bin/env bash
# run.sh [-cuda 12|13] [-sanitize] COMMAND…: runs a command over the simulator, then fails if any of its processes left device
# objects behind, even when the command itself succeeded. -stats DIR keeps the counters.
#
#   cuda/simulator/run.sh go test -tags cuda ./kernels/... ./cuda/...
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
major=12 variant=plain stats=
while :; do
  case ${1:-} in
  -cuda) major=$2; shift 2 ;;
  -sanitize) variant=sanitize; shift ;;
  -stats) stats=$(realpath -m "$2"); mkdir -p "$stats"; shift 2 ;;
  -*) echo "run.sh: unknown option $1" >&2; exit 2 ;;
  *) break ;;
  esac
done
[ $# -gt 0 ] || { echo "usage: run.sh [-cuda 12|13] [-sanitize] [-stats DIR] COMMAND…" >&2; exit 2; }
libs=$("$here/build.sh" "$major" "$variant")
if [ -z "$stats" ]; then
  stats=$(mktemp -d)
  trap 'rm -rf "$stats"' EXIT
fi
export GCNN_CUDA_PATH=$libs LD_LIBRARY_PATH=$libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} GCNN_SIM_STATS=$stats
if [ $variant = sanitize ]; then
  export LD_PRELOAD="$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so)"
  # Go keeps its own signal handlers; leaks of the host are not what is looked for
  export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0:handle_segv=0:handle_sigbus=0:handle_sigfpe=0:use_sigaltstack=0:detect_odr_violation=0}
  export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
fi
status=0
"$@" || status=$?
unset LD_PRELOAD
python3 "$here/stats.py" --check "$stats" || { [ $status -ne 0 ] || status=1; }
exit $status
