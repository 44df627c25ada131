#!/usr/bin/env bash
# Install a lock file into /opt/venv while an image is built, and remove what no stage runs.
#   install.sh LOCK HASHES CUDA [VENV]
#   HASHES  required | none   `none`: for indexes with other builds (torch for CPUs), whose hashes the lock lacks
#   CUDA    yes | no          `no` leaves out the CUDA packages, and ziglang, a C compiler that only they need; the index
#                             must then offer a CPU build of torch
set -euo pipefail
lock=$1 hashes=$2 cuda=$3 venv=${4:-/opt/venv}
requirements=$(mktemp)
cp "$lock" "$requirements"
if [ "$cuda" = no ]; then # an entry ends with its first line without a backslash
  sed -i -E '/^(nvidia-|cuda-|triton|ziglang)/,/[^\\]$/d' "$requirements"
fi
options=(--require-hashes)
if [ "$hashes" = none ]; then
  sed -i -E '/^ +--hash=/d; s/ *\\$//' "$requirements"
  options=()
fi
python3 -m venv --without-pip "$venv"
python3 -m pip --python "$venv/bin/python" install --no-deps --only-binary :all: --no-cache-dir \
  --disable-pip-version-check --root-user-action ignore "${options[@]}" --requirement "$requirements"
rm "$requirements"

# What no stage runs goes: here, since a later layer would hide it, not free it. No package imports its `tests` at run
# time; triton's cupti is of its profiler alone; zig compiles for this system alone.
cd "$venv"/lib/python3*/site-packages
find . -type d -name tests -prune -exec rm -rf {} +
rm -rf torch/test torch/bin/test_* torch/bin/*Test torch/bin/protoc* triton/backends/nvidia/lib/cupti
if [ -d ziglang ]; then
  find ziglang/lib/libc -mindepth 1 -maxdepth 2 -type d \
    \( -name mingw -o -name '*windows*' -o -name '*darwin*' -o -name '*bsd*' -o -name '*wasi*' \) -prune -exec rm -rf {} +
fi
