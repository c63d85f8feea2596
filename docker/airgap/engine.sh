#!/usr/bin/env bash
# Sees to a Docker engine with the compose and buildx plugins; what answers already is left as it is.
# On Debian, as root, it installs what is missing from Debian's own packages and starts dockerd, for there may be no
# init system that does; elsewhere it names the commands. Safe to call again at any time.
set -euo pipefail

state=${TRANSHIP_ENGINE_STATE:-/var/lib/tranship-engine}   # dockerd's log and pid file, where this script starts one
plugins=/usr/local/lib/docker/cli-plugins
wait_seconds=60
# Another apt may be at work, on a new machine above all.
apt_options=(-qq -o=Dpkg::Use-Pty=0 -o=DPkg::Lock::Timeout=300)
export DEBIAN_FRONTEND=noninteractive

say() { printf '%s\n' "$*" >&2; }

engine_answers() { command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1; }
compose_answers() { docker compose version >/dev/null 2>&1; }
buildx_answers() { docker buildx version >/dev/null 2>&1; }

can_install() { [ "$(id -u)" = 0 ] && [ -r /etc/debian_version ] && command -v apt-get >/dev/null; }

explain() {
  say "$1"
  say "Install Docker with compose 2.20 or newer and buildx, and start it:"
  say "  Debian 13, Ubuntu 24.04:  sudo apt-get install docker.io docker-compose-v2 docker-buildx || sudo apt-get install docker.io docker-cli docker-compose docker-buildx"
  say "  Debian 12, as root:       docker/airgap/engine.sh"
  say "  elsewhere:                https://docs.docker.com/engine/install/"
  say "As a user who may not reach the engine: sudo usermod -aG docker \"\$USER\", then log in again."
  return 1
}

install_packages() {
  # An old package list may name files that are gone.
  apt-get "${apt_options[@]}" install -y --no-install-recommends "$@" >/dev/null 2>&1 \
    || { apt-get "${apt_options[@]}" update >/dev/null \
      && apt-get "${apt_options[@]}" install -y --no-install-recommends "$@" >/dev/null; }
}

install_engine() {
  say "Installing Docker from Debian's packages"
  local packages=(docker.io iptables ca-certificates)
  # From Debian 13 on, the client is a package of its own.
  if apt-cache show docker-cli >/dev/null 2>&1; then packages+=(docker-cli); fi
  install_packages "${packages[@]}"
}

# Debian 12 has neither plugin. Those of Debian 13 are Go programs that need nothing newer than Debian 12's libc:
# they are unpacked, not installed, and the system's own package sources stay as they are.
install_plugins() {
  say "Installing the compose and buildx plugins from Debian 13's packages"
  local scratch
  scratch=$(mktemp -d)
  mkdir -p "$scratch/lists/partial" "$scratch/cache/archives/partial" "$plugins"
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  local mirror
  mirror=$("$(dirname "$0")/mirror.sh")
  printf 'deb [signed-by=%s] %s trixie main\n' "$keyring" "$mirror" \
    >"$scratch/sources.list"
  local own_lists=(
    -o=Dir::Etc::SourceList="$scratch/sources.list" -o=Dir::Etc::SourceParts=-
    -o=Dir::State::Lists="$scratch/lists" -o=Dir::Cache="$scratch/cache" -o=APT::Sandbox::User=root
  )
  (
    cd "$scratch"
    apt-get "${apt_options[@]}" "${own_lists[@]}" update >/dev/null
    apt-get "${apt_options[@]}" "${own_lists[@]}" download docker-compose docker-buildx >/dev/null
    for package in *.deb; do dpkg -x "$package" unpacked; done
    install -m 755 unpacked/usr/libexec/docker/cli-plugins/docker-{compose,buildx} "$plugins"
  )
  rm -rf "$scratch"
}

start_engine() {
  mkdir -p "$state"
  # A bare container or virtual machine may not have these mounted.
  mountpoint -q /sys/fs/cgroup || mount -t tmpfs cgroup /sys/fs/cgroup 2>/dev/null || true
  say "Starting dockerd; its log is $state/dockerd.log"
  setsid dockerd --pidfile "$state/dockerd.pid" --host unix:///var/run/docker.sock --storage-driver overlay2 \
    >>"$state/dockerd.log" 2>&1 </dev/null &
  local second
  for ((second = 0; second < wait_seconds; second++)); do
    if engine_answers; then return 0; fi
    sleep 1
  done
  say "dockerd did not answer within $wait_seconds s. The end of its log:"
  tail -n 20 "$state/dockerd.log" >&2
  return 1
}

if ! engine_answers; then
  can_install || explain "No Docker engine answers${DOCKER_HOST:+ on $DOCKER_HOST}."
  [ -z "${DOCKER_HOST:-}" ] || explain "No Docker engine answers on $DOCKER_HOST, and starting one there is not ours."
  if ! command -v dockerd >/dev/null; then install_engine; fi
  engine_answers || start_engine
fi
if ! compose_answers || ! buildx_answers; then
  can_install || explain "Docker answers, but its compose or buildx plugin is missing."
  install_plugins
  if ! compose_answers || ! buildx_answers; then explain "The compose or buildx plugin still does not run."; fi
fi
