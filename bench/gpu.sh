#!/usr/bin/env bash
# Everything to run when a machine with a GPU can be had. It needs there:
#   BINARY        gcnn, made with `go build -tags cuda ./cmd/gcnn`
#   cuda.test     beside it: the conformance suite, made with `go test -c -tags cuda ./cuda`
#   kernels.test  beside it: the kernels' tests, made with `go test -c -tags cuda ./kernels`
#   python3       with PyTorch (PYTHON names another), and this folder bench/
# Usage: bench/gpu.sh BINARY [REPORT]
# It leaves a report in a folder (default gpu-report-DATE): README.md with what passed, and the output of every step beside it. It exits
# with 1 where a step failed. Commit the folder under docs/. A step that needs a tool which is not installed is listed as not run.
# REHEARSAL=1 does little of each step, to try this script over the simulator (cuda/simulator/run.sh bench/gpu.sh …).
set -uo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
	sed -n '2,11s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! [ -x "$1" ]; then
	echo "gpu.sh: $1 is no executable file" >&2
	exit 2
fi
gcnn=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
suite=$(dirname "$gcnn")/cuda.test
kernels=$(dirname "$gcnn")/kernels.test
python=$(command -v "${PYTHON:-python3}" || true)
python=${python:+$(realpath -s "$python")} # the folder is left below
report=${2:-gpu-report-$(date +%Y%m%d-%H%M)}
if [ -e "$report" ]; then
	echo "gpu.sh: $report is there already" >&2
	exit 2
fi
mkdir -p "$report" && report=$(cd "$report" && pwd) || exit 2
# The float64 reference on the host decides how long parity takes: batch and steps of each preset, minutes at most.
parities=(cnn:32:20 lenet5:32:20 fast:16:5 vgg-small:2:2 resnet9:2:2 alexnet:1:0)
lessons=(cnn lenet5)
little=() test_little=() bench=. bench_time=2s epochs=10 rounds=3
if [ -n "${REHEARSAL:-}" ]; then
	parities=(cnn:2:1 lenet5:2:1 fast:2:1)
	little=(--limit 320 --validation-split 0.2 --epochs 1) test_little=(-test.run 'TestTies|TestChoice|TestNodes|TestFused|TestOutline')
	bench=BenchmarkTrain/cnn/256 bench_time=1x epochs=1 rounds=1
fi
failed=0

note() { echo "$*" | tee -a "$report/README.md"; }

# step NAME COMMAND...: runs a command with its output in NAME.txt, and notes whether it passed. One that hangs is ended after an hour.
step() {
	local name=$1 start=$SECONDS status=0 run=()
	shift
	[ "$(type -t "$1")" = function ] || run=(timeout --kill-after=30 3600)
	{
		echo "\$ $*"
		"${run[@]}" "$@"
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
	nvidia-smi && nvidia-smi -q -d CLOCK,POWER
}

pytorch() {
	"$python" -c 'import sys, torch; print("Python", sys.version); print("PyTorch", torch.__version__, "CUDA", torch.version.cuda, "cuDNN", torch.backends.cudnn.version()); assert torch.cuda.is_available(), "PyTorch sees no GPU"'
}

# same_bits: two trainings of one seed, and a third that is cut in two, end with the same weights.
same_bits() {
	local short=(--model cnn --device cuda --epochs 2 --limit 6400 --validation-split 0.1 --quiet) run
	[ -z "${REHEARSAL:-}" ] || short+=(--limit 320)
	for run in one two; do "$gcnn" train "${short[@]}" --out "$report/same-$run" || return; done
	cmp "$report/same-one/weights.safetensors" "$report/same-two/weights.safetensors" || return
	"$gcnn" train "${short[@]}" --epochs 1 --out "$report/same-cut" && "$gcnn" train --resume "$report/same-cut" --epochs 2 --quiet || return
	cmp "$report/same-one/weights.safetensors" "$report/same-cut/weights.safetensors" && echo "the same bits"
}

# pictures FOLDER makes two classes of pictures of noise, which are read at the size that a network wants: AlexNet's is no 28×28.
pictures() {
	"$python" - "$1" <<-'EOF'
		import os, random, struct, sys, zlib
		random.seed(1)
		def chunk(kind, data):
		    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
		for name in "one", "two":
		    os.makedirs(os.path.join(sys.argv[1], name))
		    for k in range(4):
		        rows = b"".join(b"\0" + random.randbytes(3 * 64) for _ in range(64))
		        head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0)
		        with open(os.path.join(sys.argv[1], name, f"{k}.png"), "wb") as f:
		            f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
	EOF
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
step doctor "$gcnn" doctor --out "$report"
step plan "$gcnn" summary --model cnn --device cuda --plan --memory

if [ -x "$kernels" ]; then
	step kernels "$kernels" -test.v -test.timeout 20m
else
	skip kernels "there is no kernels.test beside the binary"
	failed=$((failed + 1))
fi
if [ -x "$suite" ]; then
	step conformance "$suite" -test.v -test.timeout 50m "${test_little[@]}"
	step on-a-gpu on_gpu
	step benchmarks "$suite" -test.run '^$' -test.bench "$bench" -test.benchtime "$bench_time"
else
	skip conformance "there is no cuda.test beside the binary"
	failed=$((failed + 1))
fi

for parity in "${parities[@]}"; do
	IFS=: read -r model batch steps <<<"$parity"
	data=fashion-mnist
	if [ "$model" = alexnet ]; then data=$report/pictures && pictures "$data"; fi
	step "parity-$model" "$gcnn" parity --model "$model" --data "$data" --devices cpu,cuda --batch-size "$batch" --steps "$steps"
done
step same-bits same_bits
for model in "${lessons[@]}"; do
	step "train-$model" "$gcnn" train --model "$model" --device cuda "${little[@]}" --out "$report/run-$model"
	step "evaluate-$model" "$gcnn" evaluate "$report/run-$model" --device cuda
	step "evaluate-on-cpu-$model" "$gcnn" evaluate "$report/run-$model" --device cpu
	step "profile-$model" "$gcnn" train --model "$model" --device cuda --epochs 2 "${little[@]}" --profile --out "$report/profile-$model"
done

cd "$report" || exit 1
if [ -n "$python" ] && [ -n "${REHEARSAL:-}" ] && "$python" -c 'import torch' 2>/dev/null; then
	step speed "$python" "$here/python/torch_gpu.py" --gcnn "$gcnn" --device cpu --modes eager --images 640 --models cnn --epochs $epochs --rounds $rounds
elif [ -n "$python" ] && "$python" -c 'import torch' 2>/dev/null; then
	step pytorch pytorch
	step speed "$python" "$here/python/torch_gpu.py" --gcnn "$gcnn"
	step speed-tf32 "$python" "$here/python/torch_gpu.py" --gcnn "$gcnn" --tf32 --rounds 1
else
	skip speed "there is no PyTorch for ${PYTHON:-python3}"
fi

# our kernels under every tool; the libraries' too where an access beside a buffer is looked for
if have compute-sanitizer && [ -x "$suite" ] && [ -x "$kernels" ]; then
	for tool in memcheck initcheck synccheck racecheck; do
		step "sanitizer-$tool" compute-sanitizer --tool $tool --error-exitcode 9 "$kernels" -test.short -test.timeout 50m
	done
	step sanitizer-suite env GCNN_CUDA_CHECK=1 compute-sanitizer --tool memcheck --error-exitcode 9 "$suite" -test.short -test.timeout 55m -test.run '^TestConformance$/^Layers$'
else
	skip compute-sanitizer "it is not installed, or a test binary is not there"
fi
if have nsys; then
	step nsys nsys profile --trace=cuda,nvtx,cublas,cudnn --cuda-graph-trace=node --force-overwrite=true --output "$report/nsys" \
		"$gcnn" train --model cnn --device cuda --epochs 1 --out "$report/run-nsys"
	step nsys-stats nsys stats --report cuda_gpu_kern_sum,cuda_api_sum "$report/nsys.nsys-rep"
else
	skip nsys "Nsight Systems is not installed"
fi

note ""
if [ -f "$report/conformance.txt" ] && grep -q 'equal maxima takes' "$report/conformance.txt"; then
	note "Of equal maxima in max pooling: $(grep -o '[a-z ]* of four equal maxima takes the gradient' "$report/conformance.txt" | sort | uniq -c | tr -s ' ' | paste -sd';') (\`TestTies\`; half of them with --exact)."
	note ""
fi
if [ -f "$report/speed.txt" ] && grep -q '| gcnn |' "$report/speed.txt"; then
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
