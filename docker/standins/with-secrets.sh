#!/bin/sh
# Runs a command with each variable NAME_FILE turned into NAME with that file's content, so that passwords are in the
# process only, not in what `docker inspect` shows.
set -eu

for name in $(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)_FILE=.*/\1/p'); do
  file=$(printenv "${name}_FILE")
  export "$name=$(cat "$file")"
done
exec "$@"
