#!/usr/bin/env bash
# test.sh [12|13] [race]: builds gcnn with CUDA against the pinned headers and tries all of it without a GPU, over the simulator.
#
# The binary links to no CUDA library; without one, with an old driver and without a GPU it says what is missing, --device auto
# takes the CPU and --device cuda takes nothing else. Then the tests of kernels, loader and backend run over the simulator, and a
# training of the real set: it agrees with the CPU's, goes on after SIGTERM with the same bits, and loses no checkpoint when the
# device is lost. run.sh fails where any process leaves something on the device. With race, the backend's tests run once more
# under Go's race detector.
set -euo pipefail
cd "$(dirname "$0")/.."
major=${1:-12} race=${2:-}
eval "$(cuda/toolkit/env.sh "$major")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
gcnn=$tmp/gcnn

say() { echo "cuda $major: $* ($SECONDS s)"; }
die() { echo "cuda/test.sh: $*" >&2; exit 1; }
# expect STATUS TEXT COMMAND...: fails unless the command ends with that status and its output has the text, wherever its lines break.
expect() {
  local status=$1 text=$2 got=0
  shift 2
  "$@" > "$tmp/out" 2>&1 || got=$?
  if ((got != status)) || ! tr -s "[:space:]" " " < "$tmp/out" | grep -F -- "$text" > /dev/null; then
    sed 's/^/  | /' "$tmp/out" >&2
    die "$*: expected exit status $status and \"$text\", got $got"
  fi
}

nice -n 5 go vet -tags cuda ./cuda/... ./kernels ./cmd/gcnn
nice -n 5 go build -tags cuda -o "$gcnn" ./cmd/gcnn
readelf -d "$gcnn" | grep NEEDED > "$tmp/needed"
! grep -qE 'libcu|libnv' "$tmp/needed" || die "the binary needs a CUDA library: $(cat "$tmp/needed")"
say "built; it needs no CUDA library"

simulated=(cuda/simulator/run.sh -cuda "$major")
"${simulated[@]}" true # builds it
small=(--limit 320 --validation-split 0.2 --epochs 1)

none=(env GCNN_CUDA_PATH=/nonexistent CUDA_HOME= CUDA_PATH=)
if ! ldconfig -p | grep -q libcuda.so.1; then
  expect 1 "no usable libcuda.so.1; looked in /nonexistent" "${none[@]}" "$gcnn" devices --device cuda
  expect 1 "device unavailable" "${none[@]}" "$gcnn" train --device cuda "${small[@]}" --out "$tmp/none"
  expect 0 "auto: no GPU" "${none[@]}" "$gcnn" train "${small[@]}" --out "$tmp/auto"
fi
expect 1 "CUDA_ERROR_NO_DEVICE" env GCNN_SIM_NO_DEVICE=1 "${simulated[@]}" "$gcnn" devices --device cuda
expect 1 "serves CUDA 11.8 at most" env GCNN_SIM_DRIVER=11080 "${simulated[@]}" "$gcnn" train --device cuda "${small[@]}" --out "$tmp/old"
expect 1 "there are 1 GPUs" "${simulated[@]}" "$gcnn" train --device cuda:1 "${small[@]}" --out "$tmp/second"
# a card so full that no context fits: it is described, and not opened
expect 0 "gcnn simulated GPU" env GCNN_SIM_FAIL=cuDevicePrimaryCtxRetain:1:2 "${simulated[@]}" "$gcnn" devices --device cuda
expect 1 "whether another program fills" env GCNN_SIM_FAIL=cuDevicePrimaryCtxRetain:1:2 "${simulated[@]}" "$gcnn" doctor --out "$tmp/doctor"
expect 0 "cuda:0: gcnn simulated GPU, 3 steps within the bound" "${simulated[@]}" "$gcnn" doctor --out "$tmp/doctor"
say "what is missing is said"

nice -n 5 "${simulated[@]}" go test -tags cuda ./kernels ./cuda/cudadl ./cuda
say "tests passed"
# cuDNN documents neither of these
GCNN_SIM_POOL_TIES=last GCNN_SIM_REFUSE_FUSION=1 nice -n 5 "${simulated[@]}" go test -tags cuda -run TestConformance ./cuda
say "so they do where the last of equal maxima takes the gradient and no convolution takes its activation"
if [ -n "$race" ]; then
  nice -n 5 "${simulated[@]}" go test -tags cuda -race -short -run 'TestConformance|TestPlace|TestTurned' ./cuda
  say "tests passed under the race detector"
fi

expect 0 "Everything is within its bound." "${simulated[@]}" "$gcnn" parity --devices cpu,cuda --steps 8
expect 0 "auto: there is a GPU" "${simulated[@]}" "$gcnn" train --epochs 2 --limit 1280 --validation-split 0.2 --out "$tmp/cuda"
expect 0 "" "$gcnn" train --device cpu --epochs 2 --limit 1280 --validation-split 0.2 --out "$tmp/cpu"
# loss and accuracy of each epoch, to the four digits that are printed
metrics() { cut -d, -f1-5 "$1/history.csv" | sed -E 's/([0-9]+\.[0-9]{3})[0-9]*/\1/g'; }
diff <(metrics "$tmp/cpu") <(metrics "$tmp/cuda") || die "the histories of the CPU and the GPU differ"
say "a training agrees with the CPU's"

# the device is lost in the second epoch: the error says so, and the checkpoint of the first is whole
expect 1 "device lost" env GCNN_SIM_LOSE_DEVICE=1100 "${simulated[@]}" "$gcnn" train --device cuda --epochs 2 --limit 1280 --validation-split 0.2 --out "$tmp/lost"
expect 0 "" "${simulated[@]}" "$gcnn" train --device cuda --resume "$tmp/lost"
cmp "$tmp/lost/weights.safetensors" "$tmp/cuda/weights.safetensors" || die "a training whose device was lost and that was resumed has other weights"
say "a lost device loses nothing"

# SIGTERM within the second epoch: exit code 143 and a checkpoint, then on
"${simulated[@]}" sh -c "echo \$\$ > '$tmp/pid'; exec '$gcnn' train --device cuda --epochs 2 --limit 1280 --validation-split 0.2 --out '$tmp/torn'" > "$tmp/torn.out" 2>&1 &
job=$!
for _ in $(seq 1200); do
  [ -f "$tmp/torn/history.csv" ] && [ "$(wc -l < "$tmp/torn/history.csv")" -ge 2 ] && break
  sleep 0.05
done
kill -TERM "$(cat "$tmp/pid")"
status=0
wait $job || status=$?
[ $status = 143 ] || { cat "$tmp/torn.out" >&2; die "SIGTERM ended a training with exit status $status, expected 143"; }
expect 0 "" "${simulated[@]}" "$gcnn" train --device cuda --resume "$tmp/torn"
cmp "$tmp/torn/weights.safetensors" "$tmp/cuda/weights.safetensors" || { cat "$tmp/torn.out" "$tmp/out" >&2; die "a training that was stopped and resumed has other weights"; }
expect 1 "not enough memory" env GCNN_SIM_MEMORY=50000000 "${simulated[@]}" "$gcnn" train --device cuda "${small[@]}" --batch-size 8192 --out "$tmp/starved"
say "stopped and starved trainings end as they should"

# a set that may not lie on the device is streamed, and ends with the same weights
some=(train --device cuda --epochs 1 --limit 1750 --validation-split 0.2)
expect 0 "" "${simulated[@]}" "$gcnn" "${some[@]}" --out "$tmp/resident"
expect 0 "fashion-mnist train is streamed" "${simulated[@]}" "$gcnn" "${some[@]}" --set-memory 1 --out "$tmp/streamed"
cmp "$tmp/resident/weights.safetensors" "$tmp/streamed/weights.safetensors" || die "a training whose set was streamed has other weights"
expect 0 "is streamed" "${simulated[@]}" "$gcnn" "${some[@]}" --set-memory 1 --dry-run
say "a streamed set ends with the same weights"
