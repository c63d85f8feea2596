#!/usr/bin/env bash
# ./stack install: settings, checks, images, start, the first user, systemd. Every step can be done again, so that it ends
# well wherever it was killed; ./stack uninstall takes it back.
: "${root:?is set by ./stack}" "${settings_file:=$root/stack.env}" "${own_image:=tranship/own-code}"

unit=${STACK_UNIT:-/etc/systemd/system/tranship.service}

read_options() {
  while [ $# -gt 0 ]; do
    case $1 in
      --domain | --tls | --email | --external | --set | --proxy-authority)
        [ $# -ge 2 ] || fail "$1 needs a value."
        ;;
    esac
    case $1 in
      --domain) set_setting TRANSHIP_DOMAIN "$2" ;;
      --tls)
        case $2 in acme | files | internal) ;; *) fail "--tls takes acme, files or internal, not $2." ;; esac
        set_setting TRANSHIP_TLS "$2"
        ;;
      --email) set_setting TRANSHIP_ACME_EMAIL "$2" ;;
      --external) external "$2" ;;
      --set)
        case $2 in *=*) ;; *) fail "--set takes NAME=VALUE, not $2." ;; esac
        set_setting "${2%%=*}" "${2#*=}"
        ;;
      --proxy-authority)
        [ -r "$2" ] || fail "$2 cannot be read."
        set_setting TRANSHIP_EXTRA_CA "$(realpath "$2")"
        ;;
      --standin) set_setting STACK_STANDIN yes ;;
      --no-start) start=no ;;
      --yes) ask=no ;;
      *) fail "./stack install has no $1; ./stack help lists what it takes." ;;
    esac
    case $1 in --standin | --no-start | --yes) shift ;; *) shift 2 ;; esac
  done
}

external() {
  local kind=${1%%=*} host=${1#*=} variable
  [ "$kind" != "$1" ] && [ -n "$host" ] || fail "--external takes SYSTEM=HOST, not $1."
  variable=$(variable_of "$kind")
  if [ "$kind" = s3 ] && [ "$host" = aws ]; then host=""; fi
  set_setting "$variable" "$host"
}

ask_for_the_rest() {
  if [ "$ask" = no ] || [ ! -t 0 ]; then return; fi
  local kind host
  if ! is_set TRANSHIP_DOMAIN && [ -f docker-compose.vm.yml ]; then
    set_setting TRANSHIP_DOMAIN "$(answer_of "Name that browsers find this machine by (none: 127.0.0.1 only)" "")"
    if [ -n "$(setting TRANSHIP_DOMAIN)" ]; then
      set_setting TRANSHIP_TLS "$(answer_of "Whose certificate: acme, files or internal" internal)"
    fi
  fi
  for kind in sqlserver postgres redshift; do
    if is_set "$(variable_of "$kind")"; then continue; fi
    host=$(answer_of "Host of your own $kind (none: the bundled one)" "")
    if [ -n "$host" ]; then external "$kind=$host"; fi
  done
}

install() {
  ask=yes start=yes
  first_settings
  read_options "$@"
  ask_for_the_rest
  say "Settings: $settings_file"
  if ! command -v docker >/dev/null || ! timeout 10 docker info >/dev/null 2>&1; then
    # On Debian, as root, this installs and starts one; elsewhere it says how.
    docker/airgap/engine.sh
  fi
  checks
  if [ "$start" = no ]; then
    say "Nothing was built or started (--no-start)."
    return
  fi
  docker/airgap/images.sh
  say "Building the images; the first time takes minutes."
  compose build --quiet
  remove_unnamed_images
  bring_up
  first_user
  install_unit
  say ""
  say "Tranship: $(address)"
}

# What a new build leaves of the one before it.
remove_unnamed_images() {
  docker image prune --force --filter "label=com.docker.compose.project=$(project)" >/dev/null
}

bring_up() {
  # What a bundled system left, whose place one of the user's takes.
  compose_all ps --all --services 2>/dev/null | grep -Fxv -f <(compose config --services) | while read -r service; do
    compose_all rm --force --stop "$service" >/dev/null
  done || true
  build_own_pipelines
  local before after
  before=$(state_of_secrets)
  if ! compose up --no-deps --force-recreate secrets >/dev/null 2>&1 \
    || [ "$(docker inspect --format '{{.State.ExitCode}}' "$(compose ps --all --quiet secrets)")" != 0 ]; then
    compose logs --no-log-prefix --tail 5 secrets >&2 || true
    fail "The secrets were not arranged."
  fi
  check_own_pipelines
  after=$(state_of_secrets)
  local fresh=()
  # A service reads its secrets when it starts.
  if [ -n "$before" ] && [ "$before" != "$after" ]; then
    say "Secrets have changed: every service starts anew."
    fresh=(--force-recreate)
  fi
  compose up --detach --no-build "${fresh[@]}" --wait --wait-timeout 600 || {
    status || true
    fail "Not every service is well. ./stack logs SERVICE says why."
  }
}

own_tag() { printf '%s:%s' "$own_image" "$(setting TRANSHIP_VERSION dev)"; }

# The folder that TRANSHIP_DEFS names, in an image of its own: the code server and every run have the same.
build_own_pipelines() {
  local folder
  folder=$(setting TRANSHIP_DEFS)
  if [ -z "$folder" ]; then return 0; fi
  [ -d "$folder" ] || fail "TRANSHIP_DEFS is $folder, which is no folder."
  served_before=$(docker image inspect --format '{{.Id}}' "$(own_tag)" 2>/dev/null || true)
  DOCKER_BUILDKIT=1 docker build --quiet --file docker/own/Dockerfile --tag "$(own_tag)" \
    --build-arg "BASE=$(setting TRANSHIP_USER_CODE_IMAGE tranship/user-code):$(setting TRANSHIP_VERSION dev)" "$folder" >/dev/null
}

# As the code server will load them, with its secrets and its ways: what cannot be loaded does not take the place of what runs.
check_own_pipelines() {
  local words
  if [ -z "$(setting TRANSHIP_DEFS)" ]; then return 0; fi
  if ! words=$(compose run --rm --no-deps -T user-code python -m tranship.runs.secrets run --from=/run/secrets/dagster \
    --from=/run/secrets/data -- python -m tranship.runs.own_pipelines etl.definitions 2>&1); then
    if [ -n "$served_before" ]; then docker tag "$served_before" "$(own_tag)"; fi
    fail "$(tail -n 20 <<<"$words")"
  fi
}

# A text that changes when a secret does, and tells none: sizes and times of the files in the volumes.
state_of_secrets() {
  compose run --rm --no-deps --entrypoint '' secrets sh -c \
    'ls -l --time-style=full-iso /run/secrets/dagster /run/secrets/data 2>/dev/null | grep -v authorities.pem' 2>/dev/null || true
}

first_user() {
  if ! has_front_door || [ "$(setting TRANSHIP_LOGIN users)" != users ]; then return 0; fi
  if [ -n "$(compose exec -T login python -m login users list)" ]; then return 0; fi
  local password
  password=$(compose exec -T login python -m login users add admin --role operator --generate)
  say "The first user is admin, and the password $password (./stack user password admin changes it)."
}

install_unit() {
  if [ ! -d /run/systemd/system ] || [ ! -w "$(dirname "$unit")" ]; then
    say "Without systemd, or without the right to add to it: the engine starts the containers again after a reboot."
    return
  fi
  cat >"$unit.new" <<TEXT
[Unit]
Description=Tranship
Requires=docker.service
After=docker.service network-online.target
Wants=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
WorkingDirectory=$root
ExecStart=$root/stack up
ExecStop=$root/stack down
TimeoutStartSec=900
TimeoutStopSec=180

[Install]
WantedBy=multi-user.target
TEXT
  mv "$unit.new" "$unit"
  systemctl daemon-reload
  systemctl enable --quiet "$(basename "$unit")"
}

uninstall() {
  local data=no ask=yes option
  for option in "$@"; do
    case $option in
      --data) data=yes ;;
      --yes) ask=no ;;
      *) fail "./stack uninstall has no $option: --data, --yes." ;;
    esac
  done
  local what
  what="Stop and remove the containers of $(project); the data stays?"
  if [ "$data" = yes ]; then what="Remove $(project) WITH ALL ITS DATA: tables, history, passwords?"; fi
  if [ "$ask" = yes ]; then agreed "$what" || fail "Nothing was removed."; fi
  if [ -f "$unit" ] && [ -w "$unit" ]; then
    systemctl disable --quiet "$(basename "$unit")" || true
    rm -f "$unit"
    systemctl daemon-reload || true
  fi
  if [ "$data" = yes ]; then
    compose_all down --remove-orphans --volumes
  else
    compose_all down --remove-orphans
    say "The volumes of $(project), stack.env and secrets/ are still here."
  fi
}
