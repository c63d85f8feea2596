#!/usr/bin/env bash
# stack.env, the one file that its user owns: what is set, and setting it. Lines that are not asked about stay as they are.
: "${root:?is set by ./stack}"

settings_file=${STACK_ENV:-$root/stack.env}

own_image=tranship/own-code

# Whether a variable is set, an empty one too. The environment goes before the file, as it does for compose.
is_set() { [ -n "${!1+set}" ] || { [ -f "$settings_file" ] && grep -q "^$1=" "$settings_file"; }; }

setting() {
  local value=""
  if [ -n "${!1+set}" ]; then
    value=${!1}
  elif is_set "$1"; then
    value=$(sed -n "s/^$1=//p" "$settings_file" | tail -n 1)
  fi
  # Written with or without quotes.
  value=${value#\'}
  value=${value%\'}
  printf '%s' "${value:-${2:-}}"
}

# In one step: killed half way, the old file is there, or the new one.
write_settings() {
  local new
  new=$(mktemp "$settings_file.XXXXXX")
  cat >"$new"
  chmod 644 "$new"
  mv "$new" "$settings_file"
}

first_settings() {
  [ -f "$settings_file" ] || write_settings <<'TEXT'
# What this stack is told. It is yours: ./stack install changes the lines of what it is told, and nothing else.
# .env.example names everything that can be set here; passwords go to secrets/.
TEXT
}

set_setting() {
  local name=$1 value=$2
  [[ $name =~ ^[A-Z][A-Z0-9_]*$ ]] || fail "$name is not the name of a variable."
  case $name in
    *PASSWORD* | *SECRET_ACCESS_KEY | *SESSION_TOKEN | *WEBHOOK)
      fail "$name is a secret: write it to secrets/$name, not to stack.env."
      ;;
  esac
  case $value in *$'\n'* | *\'*) fail "$name cannot hold a quote or a line break." ;; esac
  # A dollar sign means nothing between these.
  case $value in *[\$\ \#\"]*) value="'$value'" ;; esac
  if [ "$(setting "$name")" = "${value//\'/}" ] && is_set "$name"; then return; fi
  { grep -v "^$name=" "$settings_file" || true; printf '%s=%s\n' "$name" "$value"; } | write_settings
}

# The bundled system's variable, by the name that --external takes.
variable_of() {
  case $1 in
    sqlserver) echo TRANSHIP_SQLSERVER_HOST ;;
    postgres) echo TRANSHIP_POSTGRES_HOST ;;
    redshift) echo TRANSHIP_REDSHIFT_HOST ;;
    storage) echo DAGSTER_POSTGRES_HOST ;;
    s3) echo AWS_ENDPOINT_URL ;;
    *) fail "--external takes sqlserver, postgres, redshift, storage or s3, not $1." ;;
  esac
}

secrets_folder() { setting TRANSHIP_SECRETS_DIRECTORY "$root/secrets"; }
project() { printf '%s' "${COMPOSE_PROJECT_NAME:-$(setting COMPOSE_PROJECT_NAME tranship)}"; }
has_front_door() { [ -f docker-compose.vm.yml ] && [ -n "$(setting TRANSHIP_DOMAIN)" ]; }

compose() {
  local files=(-f docker-compose.yml)
  if has_front_door; then files+=(-f docker-compose.vm.yml); fi
  if [ "$(setting STACK_STANDIN no)" = yes ]; then files+=(-f docker-compose.standin.yml); fi
  local settings=()
  if [ -f "$settings_file" ]; then settings=(--env-file "$settings_file"); fi
  local image=()
  # The image that has the user's pipelines is made of the one that is built here.
  if [ -n "$(setting TRANSHIP_DEFS)" ] && [ "${1:-}" != build ]; then image=("TRANSHIP_USER_CODE_IMAGE=$own_image"); fi
  env "${image[@]}" docker compose "${settings[@]}" --project-name "$(project)" "${files[@]}" "$@"
}

# The same with the bundled systems that one of the user's has taken the place of: what they left is stopped and removed too.
compose_all() { compose --profile bundled "$@"; }

address() {
  if has_front_door; then
    local port
    port=$(setting TRANSHIP_HTTPS_PORT 443)
    printf 'https://%s%s/' "$(setting TRANSHIP_DOMAIN)" "$([ "$port" = 443 ] || printf ':%s' "$port")"
  else
    printf 'http://127.0.0.1:%s/' "$(setting TRANSHIP_WEBSERVER_HOST_PORT 3000)"
  fi
}
