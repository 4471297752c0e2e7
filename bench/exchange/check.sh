#!/usr/bin/env bash
# Exports every preset and small networks of every layer as ONNX, and compares what onnxruntime computes of them with gcnn's own
# outputs, within 1e-5. Its Python environment lies in bench/.venv, in a folder named by the hash of the pins and of the Python
# version: another run installs nothing. PYTHON names the interpreter (default python3; 3.11 to 3.13).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}

hash=$("$python" - "$here/requirements.txt" <<'EOF'
import hashlib, sys
print(hashlib.sha256(open(sys.argv[1], "rb").read() + sys.version.split()[0].encode()).hexdigest()[:12])
EOF
)
venv=$here/../.venv/exchange-$hash
if ! [ -e "$venv/complete" ]; then
	echo "check.sh: installing onnxruntime into bench/.venv/exchange-$hash (about 200 MB, once)" >&2
	rm -rf "$venv"
	"$python" -m venv "$venv" >&2
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir --no-deps -r "$here/requirements.txt" >&2
	touch "$venv/complete"
fi

files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT
(cd "$here/../.." && go run ./bench/exchange "$files")
"$venv/bin/python" "$here/check_onnx.py" "$files"
