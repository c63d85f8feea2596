#!/usr/bin/env bash
# How ./stack speaks and asks.

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

# Yes or no, on a terminal; no where there is none.
agreed() {
  local answer
  [ -t 0 ] || return 1
  read -r -p "$1 [y/N] " answer
  case $answer in [yY] | [yY][eE][sS]) return 0 ;; *) return 1 ;; esac
}

# An answer, or the default where there is no terminal.
answer_of() {
  local question=$1 default=$2 answer=""
  if [ -t 0 ]; then read -r -p "$question${default:+ [$default]}: " answer; fi
  printf '%s' "${answer:-$default}"
}
