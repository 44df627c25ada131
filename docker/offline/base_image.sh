#!/usr/bin/env bash
# Create a replacement for the base image on a Debian 12 machine without access to an image registry: Debian's Python
# 3.11, with this machine's pip settings and certificates, as localhost/python:3.11-slim in Podman. The cluster test runs
# it as root.
#   docker/offline/base_image.sh [CACHE]     CACHE keeps the image between calls (default /var/cache/mlip-base)
set -euo pipefail
cache=${1:-/var/cache/mlip-base}
image=localhost/python:3.11-slim
archive=$cache/python-3.11-slim.tar.gz

if podman image exists "$image"; then
  exit 0
fi
if [ ! -s "$archive" ]; then
  mkdir -p "$cache"
  work=$(mktemp -d "$cache/build.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  sources=(/etc/apt/sources.list /etc/apt/sources.list.d)
  mirror=$(grep -rhoE 'https?://[^ ]*debian/?( |$)' "${sources[@]}" 2>/dev/null | head -1 || true)
  debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
    bookworm "$work/root" ${mirror:+"${mirror% }"} >"$work/log" || { tail -n 5 "$work/log" >&2; exit 1; }
  rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/*
  cp -L /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/ca-certificates.crt"
  # A build cannot see indexes on this machine's disk: PIP_FIND_LINKS and similar reach it as build arguments.
  { echo "[global]"
    python3 -m pip config list | sed -nE "s/^global\.(index-url|extra-index-url|trusted-host)='(.*)'$/\1 = \2/p" |
      grep -v 'file://' || true
    echo "cert = /etc/ssl/certs/ca-certificates.crt"
  } >"$work/root/etc/pip.conf"
  tar -C "$work/root" --numeric-owner -czf "$work/base.tar.gz" .
  mv "$work/base.tar.gz" "$archive"
fi
podman import --quiet --change 'CMD ["python3"]' --change 'ENV LANG=C.UTF-8' "$archive" "$image" >/dev/null
podman image inspect --format '{{.Id}} {{.Size}}' "$image"
