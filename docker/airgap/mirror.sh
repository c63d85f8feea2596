#!/usr/bin/env bash
# Prints the Debian mirror that this machine's own packages come from, or DEBIAN_MIRROR where it is set.
set -euo pipefail

from_package_sources() {
  # shellcheck disable=SC2016  # the format is apt's, not the shell's
  apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 2>/dev/null | grep -v security | sed -n 1p
}

mirror=${DEBIAN_MIRROR:-$(from_package_sources || true)}
if [ -z "$mirror" ]; then
  # A new machine has sources, but no lists of packages yet.
  apt-get -qq update >&2
  mirror=$(from_package_sources || true)
fi
if [ -z "$mirror" ]; then
  echo 'No Debian mirror in the package sources; set DEBIAN_MIRROR to the address of one.' >&2
  exit 1
fi
printf '%s\n' "$mirror"
