#!/usr/bin/env bash
# Install a lock file into /opt/venv while an image is built.
#   install.sh LOCK HASHES CUDA
#   HASHES  required | none   `none`: for indexes with other builds (torch for CPUs), whose hashes the lock lacks
#   CUDA    yes | no          `no` leaves out the CUDA packages, and ziglang, a C compiler that only they need; the index
#                             must then offer a CPU build of torch
set -euo pipefail
lock=$1 hashes=$2 cuda=$3
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
python3 -m venv --without-pip /opt/venv
python3 -m pip --python /opt/venv/bin/python install --no-deps --only-binary :all: --no-cache-dir \
  --disable-pip-version-check --root-user-action ignore "${options[@]}" --requirement "$requirements"
rm "$requirements"
