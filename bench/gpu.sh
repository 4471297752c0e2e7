#!/usr/bin/env bash
# Everything to run when a machine with a GPU can be had. It needs there:
#   BINARY      gcnn, made with `go build -tags cuda ./cmd/gcnn`
#   cuda.test   beside it: the conformance suite, made with `go test -c -tags cuda ./cuda`
#   python3     with PyTorch (PYTHON names another), and this folder bench/
# Usage: bench/gpu.sh BINARY [REPORT]
# It leaves a report in a folder (default gpu-report-DATE): README.md with what passed, and the output of every step beside it. It exits
# with 1 where a step failed. Commit the folder under docs/. A step that needs a tool which is not installed is listed as not run.
set -uo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
	sed -n '2,9s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! [ -x "$1" ]; then
	echo "gpu.sh: $1 is no executable file" >&2
	exit 2
fi
gcnn=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
suite=$(dirname "$gcnn")/cuda.test
python=${PYTHON:-python3}
report=${2:-gpu-report-$(date +%Y%m%d-%H%M)}
if [ -e "$report" ]; then
	echo "gpu.sh: $report is there already" >&2
	exit 2
fi
mkdir -p "$report" && report=$(cd "$report" && pwd) || exit 2
presets=(cnn lenet5 vgg-small resnet9 alexnet)
lessons=(cnn lenet5)
failed=0

note() { echo "$*" | tee -a "$report/README.md"; }

# step NAME COMMAND...: runs a command with its output in NAME.txt, and notes whether it passed.
step() {
	local name=$1 start=$SECONDS status=0
	shift
	{
		echo "\$ $*"
		"$@"
	} >"$report/$name.txt" 2>&1 || status=$?
	if [ $status -eq 0 ]; then
		note "| [$name]($name.txt) | passed | $((SECONDS - start)) s |"
	else
		note "| [$name]($name.txt) | **failed, status $status** | $((SECONDS - start)) s |"
		failed=$((failed + 1))
	fi
	return 0
}

# skip NAME WHY notes a step that could not run.
skip() { note "| $1 | not run: $2 | |"; }

have() { command -v "$1" >/dev/null 2>&1; }

# on_gpu: the suite says on which device it ran; on a simulator this is no report.
on_gpu() {
	if ! grep -q 'is tested on a GPU' "$report/conformance.txt"; then
		echo "the suite does not say that it ran on a GPU"
		return 1
	fi
}

machine() {
	date -u +'%Y-%m-%d %H:%M UTC'
	uname -srm
	if have lscpu; then lscpu | grep -E 'Model name|^CPU\(s\)'; fi
	nvidia-smi
	nvidia-smi -q -d CLOCK,POWER
	"$python" -c 'import sys, torch; print("Python", sys.version); print("PyTorch", torch.__version__, "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version()); assert torch.cuda.is_available()'
}

note "# gcnn on a GPU"
note ""
note "$("$gcnn" --version), $(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null || echo 'no nvidia-smi')"
note ""
note "| step | result | time |"
note "| --- | --- | --- |"
step machine machine
step devices "$gcnn" devices
step devices-json "$gcnn" devices --json

if [ -x "$suite" ]; then
	step conformance "$suite" -test.v -test.timeout 60m
	step on-a-gpu on_gpu
	step benchmarks "$suite" -test.run '^$' -test.bench . -test.benchtime 2s
else
	skip conformance "there is no cuda.test beside the binary"
	failed=$((failed + 1))
fi

for model in "${presets[@]}"; do
	batch=32
	if [ "$model" = alexnet ]; then batch=4; fi
	step "parity-$model" "$gcnn" parity --model "$model" --devices cpu,cuda --batch $batch --steps 20
done
for model in "${lessons[@]}"; do
	step "train-$model" "$gcnn" train --model "$model" --device cuda --out "$report/run-$model"
	step "evaluate-$model" "$gcnn" evaluate "$report/run-$model" --device cuda
	step "evaluate-on-cpu-$model" "$gcnn" evaluate "$report/run-$model" --device cpu
	step "profile-$model" "$gcnn" train --model "$model" --device cuda --epochs 2 --profile --out "$report/profile-$model"
done

cd "$report" || exit 1
step speed "$python" "$here/python/torch_gpu.py" --gcnn "$gcnn"
step speed-tf32 "$python" "$here/python/torch_gpu.py" --tf32 --rounds 1

if have compute-sanitizer && [ -x "$suite" ]; then
	for tool in memcheck initcheck synccheck racecheck; do
		step "sanitizer-$tool" env GCNN_CUDA_CHECK=1 compute-sanitizer --tool $tool --error-exitcode 9 "$suite" -test.short -test.timeout 120m
	done
else
	skip compute-sanitizer "it is not installed, or there is no cuda.test"
fi
if have nsys; then
	step nsys nsys profile --trace=cuda,nvtx,cublas,cudnn --cuda-graph-trace=node --force-overwrite=true --output "$report/nsys" \
		"$gcnn" train --model cnn --device cuda --epochs 1 --out "$report/run-nsys"
	step nsys-stats nsys stats --report cuda_gpu_kern_sum,cuda_api_sum "$report/nsys.nsys-rep"
else
	skip nsys "Nsight Systems is not installed"
fi

note ""
if grep -q '| gcnn |' "$report/speed.txt"; then
	note "## Time beside PyTorch"
	note ""
	note "$(grep -E '^\||PyTorch .*medians|^$' "$report/speed.txt")"
	note ""
fi
for model in "${lessons[@]}"; do
	if [ -s "$report/run-$model/history.csv" ]; then
		note "\`$model\` ended with $(head -1 "$report/run-$model/history.csv"): $(tail -1 "$report/run-$model/history.csv")"
		note ""
	fi
done
note "$failed steps failed."
echo "the report lies in $report"
[ $failed -eq 0 ]
