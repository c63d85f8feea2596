#!/usr/bin/env bash
# Makes .venv from the hash-pinned lock, and sees to the system libraries that the SQL Server driver needs.
# Called by make; safe to call again at any time.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
packages=(libltdl7 libkrb5-3 libgssapi-krb5-2)
libraries=(libltdl.so.7 libkrb5.so.3 libgssapi_krb5.so.2)

say() { printf '%s\n' "$*" >&2; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-python3}" python3.13 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  say "Tranship needs Python 3.11, 3.12 or 3.13 as python3; found: $(python3 --version 2>&1 || true)."
  say "Install one (Debian: apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/python3.13"
  return 1
}

make_venv() {
  local python
  python=$(find_python)
  if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    say "Making $venv with $("$python" --version)"
    if ! "$python" -m venv --clear "$venv"; then
      say "This Python cannot make virtual environments. On Debian: apt-get install python3-venv"
      return 1
    fi
  fi
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
  say "Installing what requirements/dev.lock pins"
  # uv is fast; pip stays the way out where only pip knows the proxy or the index.
  "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" --require-hashes -r requirements/dev.lock \
    || "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation -e user_code -e localstack
}

missing_libraries() {
  local library
  for library in "${libraries[@]}"; do
    "$venv/bin/python" -c "import ctypes; ctypes.CDLL('$library')" 2>/dev/null || printf '%s ' "$library"
  done
}

see_to_libraries() {
  [ "$(uname -s)" = Linux ] || return 0
  local missing
  missing=$(missing_libraries)
  [ -n "$missing" ] || return 0
  local install="apt-get install -y --no-install-recommends ${packages[*]}"
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "Installing ${packages[*]} for the SQL Server driver"
    # An old package list may name files that are gone.
    { DEBIAN_FRONTEND=noninteractive $install || { apt-get update && DEBIAN_FRONTEND=noninteractive $install; }; } >/dev/null
    missing=$(missing_libraries)
    [ -n "$missing" ] || return 0
  fi
  say "The SQL Server driver needs these system libraries: $missing"
  say "On Debian and Ubuntu: sudo $install"
  say "On Fedora: sudo dnf install libtool-ltdl krb5-libs"
  return 1
}

make_venv
see_to_libraries
touch "$venv/.complete"
