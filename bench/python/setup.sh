#!/usr/bin/env bash
# Makes the Python environment of the peers once and prints the path of its python. The environment lies in bench/.venv, in a
# folder named by the hash of the pins and of the Python version: another run with the same pins installs nothing.
# PYTHON names the interpreter to use (default python3; 3.11 to 3.13).
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
python=${PYTHON:-python3}

version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
case $version in
3.11 | 3.12 | 3.13) ;;
*)
	echo "setup.sh: the peers need Python 3.11 to 3.13, $python is $version; set PYTHON" >&2
	exit 1
	;;
esac
hash=$("$python" - "$here/requirements.txt" "$here/constraints.txt" <<'END'
import hashlib, sys
text = b"".join(open(name, "rb").read() for name in sys.argv[1:]) + sys.version.split()[0].encode()
print(hashlib.sha256(text).hexdigest()[:12])
END
)
venv=$here/../.venv/peers-$hash
if ! [ -e "$venv/complete" ]; then
	echo "setup.sh: installing PyTorch, Keras and onnxruntime into bench/.venv/peers-$hash (about 8 GB, once)" >&2
	rm -rf "$venv"
	"$python" -m venv "$venv" >&2
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-cache-dir \
		-r "$here/requirements.txt" -c "$here/constraints.txt" >&2
	touch "$venv/complete"
fi
echo "$(cd "$venv" && pwd)/bin/python"
