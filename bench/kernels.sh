#!/usr/bin/env bash
# Runs the Go benchmarks of the CPU backend and its kernels and keeps them as bench/results/kernels-PROCESSOR.txt. To compare:
#   cp bench/results/kernels-PROCESSOR.txt /tmp/old.txt; CHANGE; bench/kernels.sh; benchstat /tmp/old.txt bench/results/kernels-PROCESSOR.txt
# Usage: bench/kernels.sh [COUNT] (runs of each benchmark, default 6)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
processor=$(go run ./cmd/gcnn devices --json | python3 -c '
import json, re, sys
model = next(d["model"] for d in json.load(sys.stdin) if d["name"] == "cpu")
print(re.sub(r"[^a-z0-9]+", "-", model.lower()).strip("-"))')
file=bench/results/kernels-$processor.txt
mkdir -p bench/results
go test -run "^$" -bench . -benchtime 50ms -benchmem -count "${1:-6}" ./cpu/kernel ./cpu | tee "$file.part"
mv "$file.part" "$file"
echo "kept as $file"
