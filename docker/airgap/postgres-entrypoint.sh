#!/usr/bin/env bash
# Makes the database cluster on first start, then becomes postgres. Understands POSTGRES_USER, POSTGRES_PASSWORD(_FILE),
# POSTGRES_DB, POSTGRES_INITDB_ARGS and *.sql and *.sh files in /docker-entrypoint-initdb.d, as the public image does.
set -euo pipefail

user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}

make_cluster() {
  local password=${POSTGRES_PASSWORD:-}
  if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then password=$(<"$POSTGRES_PASSWORD_FILE"); fi
  if [ -z "$password" ]; then
    echo "Set POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE: the database is not made without a password." >&2
    exit 1
  fi
  # Unquoted on purpose: a list of options.
  # shellcheck disable=SC2086
  initdb --username "$user" --pwfile <(printf '%s\n' "$password") --auth-local trust --auth-host scram-sha-256 \
    ${POSTGRES_INITDB_ARGS:-}
  printf '\nhost all all all scram-sha-256\n' >>"$PGDATA/pg_hba.conf"
}

fill_cluster() {
  # No TCP while it is being filled: a health check over TCP must not take this for the real server.
  pg_ctl --wait --silent -o "-c listen_addresses=''" start
  if [ "$database" != postgres ]; then createdb --username "$user" --maintenance-db postgres "$database"; fi
  local file
  for file in /docker-entrypoint-initdb.d/*; do
    case $file in
      *.sql) psql --no-psqlrc -v ON_ERROR_STOP=1 --username "$user" --dbname "$database" --file "$file" ;;
      *.sh) bash "$file" ;;
    esac
  done
  pg_ctl --wait --silent --mode fast stop
}

if [ "${1:-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
  chmod 700 "$PGDATA" 2>/dev/null || true
  make_cluster
  fill_cluster
fi
exec "$@"
