#!/bin/bash
# Keeps a deployment's containers from the metadata service of the cloud that the host is in (169.254.169.254 at AWS, Azure and
# Google alike), which hands the host's own identity to whoever asks: as root on the host, after each `docker compose up`, since
# networks may be new.
#
#   docker/firewall.sh PROJECT [deny|allow]     PROJECT is compose's name of it, `tranship` usually
#
# `allow` takes the rules away again, for runs that are to have the host's role. Safe to call at any time; Docker leaves the
# chain alone (https://docs.docker.com/engine/network/packet-filtering-firewalls/).
set -euo pipefail

project=${1:?the name of the compose project}
wanted=${2:-deny}
metadata=169.254.0.0/16

bridges() {
  docker network ls --quiet --no-trunc --filter "label=com.docker.compose.project=$project" --filter driver=bridge | cut -c1-12
}

found=$(bridges)
if [ -z "$found" ]; then
  echo "There is no network of a project $project; start it first." >&2
  exit 1
fi
for id in $found; do
  rule=(DOCKER-USER --in-interface "br-$id" --destination "$metadata" --jump REJECT)
  case $wanted in
    deny) iptables --wait --check "${rule[@]}" 2>/dev/null || iptables --wait --insert "${rule[@]}" ;;
    allow) while iptables --wait --check "${rule[@]}" 2>/dev/null; do iptables --wait --delete "${rule[@]}"; done ;;
    *) echo "deny or allow, not $wanted" >&2 && exit 2 ;;
  esac
done
