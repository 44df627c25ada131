#!/usr/bin/env bash
# Software of a cluster on one Debian 12 machine, as root: SLURM with accounting, munge, Podman (for its API), Apptainer.
# Starts nothing.
# Debian 12 has no Apptainer: it comes from Debian unstable, with the C library that it wants in a folder of its own.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
private=/opt/apptainer-libc

packages=(slurm-wlm slurmdbd mariadb-server munge podman runc buildah debootstrap patchelf squashfs-tools uidmap fuse-overlayfs)
if ! dpkg --status "${packages[@]}" >/dev/null 2>&1; then
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d # packages must not start daemons: the test does, and ends them
  chmod +x /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

if ! apptainer version >/dev/null 2>&1; then
  work=$(mktemp -d)
  chmod 755 "$work"
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$private"
  mirror=$(grep -rhoE 'https?://[^ ]*debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null | head -1 || true)
  key=/usr/share/keyrings/debian-archive-keyring.gpg
  echo "deb [signed-by=$key] ${mirror:?no mirror of Debian in the apt sources} sid main" >"$work/sources.list"
  unstable=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$work/lists"
    -o "Dir::Cache=$work/cache")
  apt-get "${unstable[@]}" update -qq
  (cd "$work" && apt-get "${unstable[@]}" -qq download apptainer libc6 libseccomp2)
  dpkg -x "$work"/apptainer_*.deb /
  dpkg -x "$work"/libc6_*.deb "$work/libc"
  dpkg -x "$work"/libseccomp2_*.deb "$work/libc"
  find "$work/libc" -path '*x86_64-linux-gnu*' \( -name '*.so*' \) -exec cp -a {} "$private/" \;
  for program in /usr/bin/apptainer /usr/lib/x86_64-linux-gnu/apptainer/bin/starter; do
    patchelf --force-rpath --set-rpath "$private:/usr/lib/x86_64-linux-gnu" \
      --set-interpreter "$private/ld-linux-x86-64.so.2" "$program"
  done
  # without CAP_SYS_RESOURCE (in a container) root cannot be given all capabilities
  sed -i 's/^root default capabilities = .*/root default capabilities = no/' /etc/apptainer/apptainer.conf
  rm -rf "$work"
fi
apptainer version
