#!/usr/bin/env bash
# check.sh [13|12]...: builds Dockerfile.cuda and tries the image, without a Docker daemon, a registry of images or a GPU.
#
# hadolint reads the Dockerfile. Debian's buildah then builds it for CUDA 13 and 12 (or those given) with chroot isolation; its
# base images are replaced by a small Debian made by debootstrap, the stage that compiles by one that has gcc, and this machine's
# Go and modules mounted. In the image, as its own user and with its own entry point and health check, gcnn must say what is
# missing, refuse --device cuda and train on the CPU; then the simulator's libraries are put where the CUDA images have NVIDIA's,
# and it must train there too.
#
# Needs root and Debian or Ubuntu, and installs what is missing of buildah and debootstrap. Bases, headers and Go's build cache are
# kept in ${XDG_CACHE_HOME:-~/.cache}/gcnn-ci/docker. Settings of the network come from the environment (http_proxy, GOPROXY, PIP_…).
set -euo pipefail
cd "$(dirname "$0")/../.."
cache=${XDG_CACHE_HOME:-$HOME/.cache}/gcnn-ci/docker
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
mkdir -p "$cache/tmp"
export TMPDIR=$cache/tmp # buildah keeps the cache mounts of RUN here
exec 9>"$cache/lock" && flock 9
scratch=$(mktemp -d)

say() { echo "docker: $* ($SECONDS s)"; }
die() { echo "check.sh: $*" >&2; exit 1; }
# quietly COMMAND...: shows the end of its output only where it fails.
quietly() { "$@" >"$scratch/log" 2>&1 || { tail -30 "$scratch/log" >&2; die "failed: $*"; }; }

missing=()
for p in buildah debootstrap; do command -v $p >/dev/null || missing+=("$p"); done
if ((${#missing[@]})); then
	say "installing ${missing[*]}"
	quietly apt-get update
	quietly env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
fi

pins=cuda/docker/requirements.txt
lint=$cache/lint-$(sha256sum <$pins | cut -c1-12)
if ! [ -x "$lint/bin/hadolint" ]; then
	python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --require-hashes \
		--only-binary :all: --upgrade --target "$lint" -r $pins
fi
"$lint/bin/hadolint" Dockerfile.cuda
say "hadolint passed"

# A subcommand of buildah, with its images in the cache; chroot isolation needs no cgroups and no network of its own.
storage=(--root "$cache/images" --runroot "$scratch/run" --storage-driver vfs)
buildah() { nice -n 5 buildah "${storage[@]}" "$@"; }

# What a broken run or an older Dockerfile left behind must not fill the cache.
cleanup() {
	umount -q "$scratch/root" 2>/dev/null || true
	{ buildah rm --all && buildah rmi --prune; } >/dev/null 2>&1 || true
	rm -rf "$scratch"
}
trap cleanup EXIT

# commit NAME [OPTIONS OF buildah config...]: makes an image of the folder $root.
commit() {
	local ctr
	ctr=$(buildah from scratch)
	buildah copy --quiet "$ctr" "$root" / >/dev/null
	(($# == 1)) || buildah config "${@:2}" "$ctr"
	buildah commit --quiet --rm "$ctr" "$1" >/dev/null
}

# The base images, made once: $debian for what runs, $compiler, with the settings of the golang image, for what builds.
suite=bookworm packages=(gcc libc6-dev python3-pip)
recipe=$(echo $suite "${packages[@]}" | sha256sum | cut -c1-12)
debian=localhost/gcnn-check-debian:$recipe compiler=localhost/gcnn-check-compiler:$recipe
if ! buildah inspect --type image "$compiler" >/dev/null 2>&1; then
	say "making the base images"
	root=$scratch/root
	mkdir -p "$root" "$cache/debs"
	mount -t tmpfs -o size=2g tmpfs "$root" # dpkg waits for the disk at every file
	quietly nice -n 5 debootstrap --variant=minbase --cache-dir="$cache/debs" $suite "$root" "$mirror"
	commit "$debian"
	quietly nice -n 5 chroot "$root" apt-get update
	quietly nice -n 5 chroot "$root" env -u TMPDIR DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"
	commit "$compiler" --env GOPATH=/go --env GOTOOLCHAIN=local \
		--env PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	umount "$root"
fi
say "base images are ready"

# What this machine needs to reach the network is mounted, not built in.
{
	echo "[global]"
	env | sed -n 's/^PIP_\(CERT\|INDEX_URL\|EXTRA_INDEX_URL\|PROXY\|TRUSTED_HOST\|DEFAULT_TIMEOUT\)=/\1 = /p'
} >"$scratch/pip.conf"
mounts=(
	--volume "$(go env GOROOT):/usr/local/go:ro" --volume "$(go env GOMODCACHE)/cache/download:/modules:ro"
	--volume /etc/ssl/certs:/etc/ssl/certs:ro --volume "$scratch/pip.conf:/etc/pip.conf:ro"
)
go mod download

# expect STATUS TEXT COMMAND...: fails unless the command ends with that status and its output has the text.
expect() {
	local status=$1 text=$2 got=0
	shift 2
	"$@" >"$scratch/out" 2>&1 || got=$?
	if ((got != status)) || ! grep -qF -- "$text" "$scratch/out"; then
		sed 's/^/  | /' "$scratch/out" >&2
		die "$*: expected exit status $status and \"$text\", got $got"
	fi
}

# build CUDA IMAGE
build() {
	buildah build --pull=never --isolation chroot --format docker --file Dockerfile.cuda --tag "$2" --build-arg "CUDA=$1" \
		--build-arg "GO_IMAGE=$compiler" --build-arg "PYTHON_IMAGE=$compiler" \
		--build-arg "CUDA12_IMAGE=$debian" --build-arg "CUDA13_IMAGE=$debian" \
		--build-arg GOPROXY=file:///modules --build-arg VERSION=check "${mounts[@]}" .
}

# config IMAGE FIELD: a field of the image's settings, a word a line.
config() { buildah inspect --type image --format "{{range .Docker.Config.$2}}{{println .}}{{end}}" "$1" | sed '/^$/d'; }

# try CUDA IMAGE: what docs/docker.md says of the image.
try() {
	local cuda=$1 image=$2 ctr runs settings entry health simulator
	mapfile -t entry < <(config "$image" Entrypoint)
	mapfile -t health < <(config "$image" Healthcheck.Test | sed 1d) # without CMD
	settings=$(buildah inspect --type image --format '{{.Docker.Config.User}} {{.Docker.Config.Volumes}}' "$image")
	[ "$settings" = "1000:1000 map[/runs:{}]" ] || die "the image has user and volumes $settings, not 1000:1000 and /runs"
	ctr=$(buildah from --pull-never "$image")
	runs=$scratch/runs-$cuda
	install -d -o 1000 -g 1000 "$runs"
	buildah config --volume /runs- "$ctr" # buildah would mount a volume of its own over the one of --volume
	local gcnn=(buildah run --isolation chroot --volume "$runs:/runs" "$ctr" -- "${entry[@]}")

	expect 0 "version check" "${gcnn[@]}" --version

	# without a GPU
	expect 0 "no usable libcuda.so.1; looked in" "${gcnn[@]}" devices
	expect 1 "no usable libcuda.so.1; looked in" buildah run --isolation chroot "$ctr" -- "${health[@]}"
	expect 1 "no usable libcuda.so.1; looked in" "${gcnn[@]}" train --device cuda --out /runs/refused
	expect 0 "val_accuracy" "${gcnn[@]}" train --device cpu --limit 320 --epochs 1 --out /runs/x
	[ "$(stat -c %u:%g "$runs/x/weights.safetensors")" = 1000:1000 ] || die "what the container writes is not 1000:1000's"
	[ ! -e "$runs/refused" ] || die "train --device cuda left a folder without a GPU"
	# a mounted folder of somebody else
	chown 0:0 "$runs"
	expect 1 "/runs/y: permission denied" "${gcnn[@]}" train --device cpu --limit 320 --epochs 1 --out /runs/y

	# with the simulator's libraries in place of NVIDIA's
	simulator=$(cuda/simulator/build.sh "$cuda")
	buildah copy --quiet "$ctr" "$simulator" /usr/local/cuda/lib64/ >/dev/null
	chown 1000:1000 "$runs"
	expect 0 "cuda:0" "${gcnn[@]}" devices
	expect 0 "cuda:0" buildah run --isolation chroot "$ctr" -- "${health[@]}"
	expect 0 "val_accuracy" "${gcnn[@]}" train --device cuda --limit 64 --epochs 1 --out /runs/first
	buildah rm "$ctr" >/dev/null
}

(($#)) || set -- 13 12
for cuda in "$@"; do
	image=localhost/gcnn-check-$cuda
	quietly build "$cuda" "$image"
	say "CUDA $cuda: built"
	try "$cuda" "$image"
	say "CUDA $cuda: runs, without a GPU and over the simulator"
done
