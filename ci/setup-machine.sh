#!/usr/bin/env bash
# Installs the Debian packages of the named sets (ci/packages-SET.txt); quick where all are there.
#   ci/setup-machine.sh base [peers] [vm] [bench]
# A package that is written unpack:NAME is unpacked into .setup/unpacked/NAME: dpkg lets no two in conflict be installed.
# No service of an installed package is started, or started at the next boot.
set -euo pipefail
cd "$(dirname "$0")"
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
POLICY=/usr/sbin/policy-rc.d
UNPACKED=$(cd .. && pwd)/.setup/unpacked

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

installed() {
  case $1 in
    unpack:*) [ -d "$UNPACKED/${1#unpack:}" ] ;;
    *) [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ] ;;
  esac
}

missing_of() {
  local package
  for package in $(sed 's/#.*//' "$@"); do installed "$package" || printf '%s\n' "$package"; done
}

forbid_service_starts() {
  [ -e "$POLICY" ] && return
  printf '#!/bin/sh\nexit 101\n' >"$POLICY"
  chmod 755 "$POLICY"
  trap 'rm -f "$POLICY"' EXIT
}

unpack() {
  local package=$1 work
  work=$(mktemp -d)
  (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package" >/dev/null && dpkg -x "$package"_*.deb root)
  mkdir -p "$UNPACKED"
  mv "$work/root" "$UNPACKED/$package"
  rm -rf "$work"
}

# The packages enable their services; a charon of the machine's own would take the ports of nobody, but surprise its owner.
disable_new_services() {
  local unit
  command -v systemctl >/dev/null || return 0
  for unit in strongswan.service openvpn.service; do
    systemctl is-enabled --quiet "$unit" 2>/dev/null && systemctl disable --quiet "$unit" 2>/dev/null || true
  done
}

main() {
  local sets=() missing set package install=()
  for set in "$@"; do
    [ -r "packages-$set.txt" ] || { say "no such set: $set (there are: $(ls packages-*.txt | tr '\n' ' '))"; exit 2; }
    sets+=("packages-$set.txt")
  done
  [ ${#sets[@]} -gt 0 ] || { say "name at least one set: base, peers, vm or bench"; exit 2; }
  mapfile -t missing < <(missing_of "${sets[@]}" | sort -u)
  [ ${#missing[@]} -gt 0 ] || exit 0
  if ! command -v apt-get >/dev/null; then
    say "this is not Debian; install by hand: ${missing[*]}"
    exit 1
  fi
  if [ "$(id -u)" != 0 ]; then
    say "Debian packages are missing and installing them needs root: ${missing[*]}"
    say "run the same command with sudo"
    exit 1
  fi
  say "installing: ${missing[*]}"
  forbid_service_starts
  apt-get -qq -o DPkg::Lock::Timeout=600 update
  for package in "${missing[@]}"; do
    case $package in unpack:*) unpack "${package#unpack:}" ;; *) install+=("$package") ;; esac
  done
  [ ${#install[@]} -eq 0 ] ||
    apt-get -qq -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 install --no-install-recommends "${install[@]}" >/dev/null
  disable_new_services
}

main "$@"
