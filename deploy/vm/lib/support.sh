#!/usr/bin/env bash
# ./stack support-bundle: what somebody who helps asks for first. Every text goes through the same sieve: the secrets that
# the stack has, as they are in its files, are taken out before anything is written.
: "${root:?is set by ./stack}" "${settings_file:=$root/stack.env}"

support_bundle() {
  [ $# -le 1 ] || fail "./stack support-bundle takes the name of the file to write, or nothing."
  local target scratch
  target=${1:-$root/tranship-support-$(date -u +%Y%m%dT%H%M%SZ).tar.gz}
  scratch=$(mktemp -d)
  # shellcheck disable=SC2064  # its value now
  trap "rm -rf '$scratch'" EXIT
  chmod 700 "$scratch"
  local folder=$scratch/tranship-support
  mkdir "$folder"
  secret_values | awk 'length($0) >= 4 { print length($0) "\t" $0 }' | sort -rn | uniq >"$scratch/values"
  without_secrets() { sieve "$scratch/values"; }
  { status || true; } 2>&1 | without_secrets >"$folder/status.txt"
  { (checks) || true; } 2>&1 | without_secrets >"$folder/checks.txt"
  { docker version; docker compose version; docker info; } 2>&1 | without_secrets >"$folder/engine.txt" || true
  { uname -a; cat /etc/os-release; df -h; free -m; } 2>/dev/null | without_secrets >"$folder/machine.txt" || true
  if [ -f "$settings_file" ]; then without_secrets <"$settings_file" >"$folder/stack.env"; fi
  { git rev-parse HEAD && git status --short; } 2>/dev/null | without_secrets >"$folder/version.txt" || true
  compose config 2>&1 | without_secrets >"$folder/compose.yml" || true
  local service
  for service in $(compose config --services); do
    compose logs --no-color --timestamps --tail 2000 "$service" 2>&1 | without_secrets >"$folder/$service.log" || true
  done
  tar -C "$scratch" -czf "$target.new" tranship-support
  chmod 600 "$target.new"
  mv "$target.new" "$target"
  say "$target: status, checks, settings, versions and the last logs. Look through it before you send it: names of hosts, tables and people are in it."
}

# Every value that is a secret, one a line: the files of secrets/, and those of the volumes.
secret_values() {
  local file
  while IFS= read -r file; do
    cat "$file"
    echo
  done < <(find "$(secrets_folder)" -type f ! -name '*.md' ! -name '.gitignore' ! -name '*.pem' 2>/dev/null)
  # shellcheck disable=SC2016  # the container's shell fills it in
  compose run --rm --no-deps -T --entrypoint '' secrets sh -c \
    'for file in /run/secrets/dagster/* /run/secrets/data/*; do case $file in *.pem) ;; *) cat "$file"; echo ;; esac; done' \
    2>/dev/null || true
}

# What comes in, without the values in a file, and without what looks like a password in an address. awk compares texts, not
# patterns: nothing in a password means anything to it. The longest goes first, for another may be a part of it.
sieve() {
  awk '
    FILENAME == ARGV[1] { values[++count] = substr($0, index($0, "\t") + 1); next }
    {
      for (one = 1; one <= count; one++) $0 = without(values[one], $0)
      while (match($0, /:\/\/[^ \/:@]+:[^ \/@]+@/))
        $0 = substr($0, 1, RSTART + 2) "\001@" substr($0, RSTART + RLENGTH)
      gsub("\001", "[secret]")
      print
    }
    function without(value, text,   at, clean) {
      clean = ""
      while ((at = index(text, value)) > 0) {
        clean = clean substr(text, 1, at - 1) "\001"
        text = substr(text, at + length(value))
      }
      return clean text
    }
  ' "$1" -
}
