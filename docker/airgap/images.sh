#!/usr/bin/env bash
# Sees to the base images of the Dockerfiles and of docker-compose.yml. Each one is taken as it is where it exists,
# pulled where a registry answers, and built from Debian packages under its public name where none does.
# The air-gapped installation: run it on a host that reaches a Debian mirror, then move `docker save` files.
set -euo pipefail
cd "$(dirname "$0")"
# The client of Debian 12 builds without BuildKit unless told.
export DOCKER_BUILDKIT=1

debian=debian:trixie-slim
python=${TRANSHIP_PYTHON_IMAGE:-python:3.13-slim-trixie}
postgres=${TRANSHIP_POSTGRES_IMAGE:-postgres:17-trixie}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
log=$scratch/log

say() { printf '%s\n' "$*" >&2; }
give_up() {
  say "$1 The end of what it said:"
  tail -n 20 "$log" >&2
  exit 1
}
exists() { docker image inspect "$1" >/dev/null 2>&1; }

# Asked once: without a registry, each further try would cost its own timeout.
registry_answers() {
  if [ -z "${registry:-}" ]; then
    registry=no
    if timeout 120 docker pull -q "$python" >/dev/null 2>&1; then registry=yes; fi
  fi
  [ "$registry" = yes ]
}

bootstrap_debian() {
  if ! command -v debootstrap >/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
      say "Building base images needs debootstrap and root: sudo apt-get install debootstrap && sudo $0"
      return 1
    fi
    { apt-get update \
      && DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends debootstrap; } \
      >"$log" 2>&1 || give_up "debootstrap was not installed."
  fi
  local mirror
  mirror=$(./mirror.sh)
  say "Building $debian from $mirror"
  local root=$scratch/debian
  debootstrap --variant=minbase trixie "$root" "$mirror" >"$log" 2>&1 || give_up "debootstrap failed."
  rm -rf "${root:?}"/var/{cache/apt,lib/apt/lists,log}/* "${root:?}"/usr/share/{doc,man,info,locale}/* \
    "${root:?}"/dev/*
  # What the public image has as well: package managers must neither start services nor keep archives and indexes of them.
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
  chmod 755 "$root/usr/sbin/policy-rc.d"
  printf '%s\n' 'APT::Keep-Downloaded-Packages "false";' 'Acquire::Languages "none";' \
    'Dir::Cache::pkgcache "";' 'Dir::Cache::srcpkgcache "";' >"$root/etc/apt/apt.conf.d/docker"
  printf 'path-exclude /usr/share/%s/*\n' doc man info locale >"$root/etc/dpkg/dpkg.cfg.d/docker"
  tar -C "$root" --numeric-owner -c . | docker import -c 'CMD ["bash"]' - "$debian" >/dev/null
}

see_to() {
  local image=$1 dockerfile=$2
  if exists "$image"; then return; fi
  if registry_answers && timeout 600 docker pull -q "$image" >/dev/null; then return; fi
  case $image in
    *@sha256:*) say "$image is not here, and no registry has it for this host; without one, leave the digest out." && exit 1 ;;
  esac
  exists "$debian" || bootstrap_debian
  say "Building $image from Debian packages"
  docker build --tag "$image" --file "$dockerfile" . >"$log" 2>&1 || give_up "Building $image failed."
}

see_to "$python" python.Dockerfile
see_to "$postgres" postgres.Dockerfile
