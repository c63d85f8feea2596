#!/bin/bash
# Starts a bundled Postgres whose applications are no superusers; what is behind it on the command line is the server's.
#
# Before the server answers anybody over the network, its superuser, who has no password and comes by a socket only, sees to
# the roles and to whose the database is. At every start, so that a password that was given later is taken, and a volume of a
# version whose application was the superuser becomes what it should be. Killed anywhere, it begins again.
#
#   DATABASE, OWNER, OWNER_PASSWORD_FILE    the database and the role whose it is
#   GUEST, GUEST_PASSWORD_FILE              a role that may connect, and no more; who owns the tables grants it the rest
set -euo pipefail

superuser=postgres
guest=${GUEST:-}
private=$(mktemp -d)
here=$(dirname "$0")
psql=(psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 --host="$private" --dbname=postgres)

say() { printf 'roles: %s\n' "$*" >&2; }

make_cluster() {
  # Both images make a cluster before they run anything of the server; this prints a setting and ends. The password is
  # nobody's: roles.sql takes it away.
  POSTGRES_USER=$superuser POSTGRES_DB=postgres POSTGRES_PASSWORD="$(head -c 32 /dev/urandom | base64)" \
    docker-entrypoint.sh postgres -C port >/dev/null
}

# No network, a socket that nobody else knows, and who may come by it in a file of its own.
start_alone() {
  printf 'local all all trust\n' >"$private/hba"
  pg_ctl --silent --wait --timeout=3600 --log="$private/log" --options="-c listen_addresses='' -c hba_file='$private/hba' \
    -c unix_socket_directories='$private' -c log_statement=none -c log_min_error_statement=panic" start \
    || { cat "$private/log" >&2 && exit 1; }
}

stop() {
  pg_ctl --silent --wait --mode=fast stop
  rm -rf "$private"
}

# A cluster of the version before was made by its application's role, and the role that a cluster is made by stays a superuser
# for good (https://www.postgresql.org/docs/17/sql-alterrole.html). So that one is renamed, and its name given to a new one.
give_the_superuser_its_name() {
  if "${psql[@]}" --username="$superuser" --command='select' >"$private/answer" 2>&1; then return; fi
  say "this cluster was made by $OWNER, which is no superuser from now on"
  # Nobody renames the role of their own session.
  "${psql[@]}" --username="$OWNER" --set=maker="$OWNER" --set=superuser="$superuser" <<'SQL'
begin;
create role tranship_renames superuser;
set local session authorization tranship_renames;
alter role :"maker" rename to :"superuser";
reset session authorization;
drop role tranship_renames;
commit;
SQL
}

see_to_roles() {
  OWNER_PASSWORD=$(<"$OWNER_PASSWORD_FILE") GUEST_PASSWORD=$([ -z "$guest" ] || cat "$GUEST_PASSWORD_FILE") \
    "${psql[@]}" --username="$superuser" --set=database="$DATABASE" --set=owner="$OWNER" --set=guest="$guest" \
    --file="$here/roles.sql"
}

if [ "$OWNER" = "$superuser" ] || [ "$guest" = "$superuser" ] || [ "$OWNER" = "$guest" ]; then
  say "$superuser is the superuser's name, and the owner and the guest are two: give the roles other names"
  exit 1
fi
[ -s "$PGDATA/PG_VERSION" ] || make_cluster
start_alone
trap stop EXIT
give_the_superuser_its_name
see_to_roles
trap - EXIT
stop
exec docker-entrypoint.sh "$@"
