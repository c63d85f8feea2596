#!/usr/bin/env bash
# What ./stack install looks at before it begins, and ./stack doctor at any time. Each check ends within seconds, and says
# what to do. A fault keeps the stack from running; a remark may.
: "${root:?is set by ./stack}" "${settings_file:=$root/stack.env}"

faults=0

fine() { say "  ok      $*"; }
remark() { say "  remark  $*"; }
fault() {
  say "  FAULT   $*"
  faults=$((faults + 1))
}

# Whether a version is at least another one: 2.26.1 2.20.
at_least() {
  local have=${1#v} need=$2 part
  local -a is must
  IFS=. read -ra is <<<"${have%%[-+~]*}"
  IFS=. read -ra must <<<"$need"
  for part in 0 1 2; do
    local mine=${is[part]:-0} theirs=${must[part]:-0}
    if ((10#${mine//[!0-9]/} > 10#$theirs)); then return 0; fi
    if ((10#${mine//[!0-9]/} < 10#$theirs)); then return 1; fi
  done
}

check_engine() {
  if ! command -v docker >/dev/null; then
    fault "Docker is not installed. On Debian, as root: docker/airgap/engine.sh. Elsewhere: https://docs.docker.com/engine/install/"
    return 1
  fi
  local version
  if ! version=$(timeout 10 docker version --format '{{.Server.Version}}' 2>/dev/null); then
    fault "No Docker engine answers${DOCKER_HOST:+ on $DOCKER_HOST}. Start it, or join its group: sudo usermod -aG docker \"\$USER\", and log in again."
    return 1
  fi
  if at_least "$version" 20.10; then fine "Docker engine $version"; else fault "Docker engine $version is older than 20.10."; fi
  local need=2.20
  if has_front_door; then need=2.24.4; fi
  if ! version=$(timeout 10 docker compose version --short 2>/dev/null); then
    fault "The compose plugin is missing (docker-compose-v2 or docker-compose-plugin)."
    return 1
  fi
  if at_least "$version" "$need"; then fine "compose $version"; else fault "compose $version is older than $need."; fi
  timeout 10 docker buildx version >/dev/null 2>&1 || fault "The buildx plugin is missing (docker-buildx or docker-buildx-plugin)."
}

# Megabytes that the containers may take at most: what docker-compose.yml limits them to, and four runs.
needed_memory() {
  local megabytes=7300
  if ! is_set TRANSHIP_SQLSERVER_HOST; then megabytes=$((megabytes + 3072)); fi
  if ! is_set TRANSHIP_POSTGRES_HOST; then megabytes=$((megabytes + 1024)); fi
  if ! is_set TRANSHIP_REDSHIFT_HOST; then megabytes=$((megabytes + 2048)); fi
  printf '%s' "$megabytes"
}

check_memory() {
  local bytes needed
  bytes=$(timeout 10 docker info --format '{{.MemTotal}}' 2>/dev/null || echo 0)
  needed=$(needed_memory)
  local megabytes=$((bytes / 1048576))
  if ((megabytes < 3800)); then
    fault "The engine has $megabytes MB of memory; the stack takes 4 GB at rest and with a run."
  elif ((megabytes < needed)); then
    remark "The engine has $megabytes MB of memory; with every container at its limit and four runs it would be $needed MB."
  else
    fine "$megabytes MB of memory"
  fi
}

check_disk() {
  local folder megabytes
  folder=$(timeout 10 docker info --format '{{.DockerRootDir}}' 2>/dev/null || echo /)
  [ -d "$folder" ] || folder=/
  megabytes=$(df -Pm "$folder" | awk 'NR == 2 { print $4 }')
  if ((megabytes < 6000)); then
    fault "$megabytes MB are free on the disk of $folder; images and logs take 6 GB before any data."
  elif ((megabytes < 20000)); then
    remark "$megabytes MB are free on the disk of $folder; 20 GB leave room for data and the images of a new version."
  else
    fine "$megabytes MB free on disk"
  fi
}

# The ports that are published on this machine, as host:port.
published_ports() {
  if has_front_door; then
    echo "443 $(setting TRANSHIP_HTTPS_PORT 443)" "80 $(setting TRANSHIP_HTTP_PORT 80)" | xargs -n 2 | awk '{ print $2 }'
    return
  fi
  setting TRANSHIP_WEBSERVER_HOST_PORT 3000
  echo
  if ! is_set TRANSHIP_SQLSERVER_HOST; then setting TRANSHIP_SQLSERVER_HOST_PORT 1433 && echo; fi
  if ! is_set TRANSHIP_POSTGRES_HOST; then setting TRANSHIP_WAREHOUSE_HOST_PORT 5432 && echo; fi
  if ! is_set TRANSHIP_REDSHIFT_HOST; then setting TRANSHIP_REDSHIFT_HOST_PORT 5439 && echo; fi
  if ! is_set AWS_ENDPOINT_URL; then setting TRANSHIP_LOCALSTACK_HOST_PORT 4566 && echo; fi
}

check_ports() {
  local port ours
  ours=$(docker ps --filter "label=com.docker.compose.project=$(project)" --format '{{.Ports}}' 2>/dev/null || true)
  for port in $(published_ports); do
    case $ours in *":$port->"*) continue ;; esac
    if timeout 2 bash -c ": </dev/tcp/127.0.0.1/$port" 2>/dev/null; then
      fault "Port $port is taken by another program. Stop it, or set another port (.env.example, \"ports\")."
    fi
  done
  fine "ports $(published_ports | tr '\n' ' ')"
}

check_name() {
  local name addresses
  name=$(setting TRANSHIP_DOMAIN)
  if [ -z "$name" ]; then return 0; fi
  addresses=$(timeout 10 getent ahosts "$name" 2>/dev/null | awk '{ print $1 }' | sort -u | tr '\n' ' ' || true)
  if [ -z "$addresses" ]; then
    if [ "$(setting TRANSHIP_TLS internal)" = acme ]; then
      fault "$name has no address in DNS: the certificate's authority cannot reach this machine by it."
    else
      remark "$name has no address in DNS: nobody finds this machine by it."
    fi
  else
    fine "$name is $addresses"
  fi
}

check_clock() {
  if command -v timedatectl >/dev/null && [ "$(timedatectl show -p NTPSynchronized --value 2>/dev/null)" = no ]; then
    remark "The clock is not kept by NTP. AWS, OpenID providers and certificates refuse a clock that is minutes off."
  fi
  # No certificate is valid before the day that this file was written.
  if [ "$(date +%s)" -lt "$(date -r docker-compose.yml +%s)" ]; then
    fault "The clock says $(date -u +%FT%TZ), which is before this copy was made."
  else
    fine "the clock says $(date -u +%FT%TZ)"
  fi
}

# Asks the package index from inside the base image, as a build does.
check_index() {
  local image=python:3.13-slim-trixie authority
  if ! docker image inspect "$image" >/dev/null 2>&1; then
    remark "$image is not here yet: the way to the package index is looked at when it is (./stack doctor)."
    return 0
  fi
  authority=$(setting TRANSHIP_EXTRA_CA /dev/null)
  local mount=()
  if [ "$authority" != /dev/null ]; then
    [ -r "$authority" ] || { fault "TRANSHIP_EXTRA_CA is $authority, which cannot be read." && return 0; }
    mount=(-v "$(realpath "$authority")":/authority.pem:ro)
  fi
  local words
  words=$(timeout 25 docker run --rm -i --env HTTPS_PROXY --env https_proxy --env NO_PROXY --env no_proxy "${mount[@]}" \
    "$image" python - <deploy/vm/lib/index.py 2>&1) || true
  case $words in
    ok*) fine "the package index answers" ;;
    authority*)
      fault "The package index answers with a certificate of ${words#authority }: a proxy with an authority of its own is in between."
      say "          Builds need its PEM file: ./stack install --proxy-authority FILE (on Debian, /etc/ssl/certs/ca-certificates.crt if it is installed)"
      ;;
    *) remark "The package index cannot be reached (${words##*$'\n'}). Builds need it, or a mirror." ;;
  esac
}

# Systems of the user's that the stack cannot reach, and passwords that are not there.
check_systems() {
  local kind variable host secret
  for kind in sqlserver postgres redshift storage; do
    variable=$(variable_of "$kind")
    host=$(setting "$variable")
    if [ -z "$host" ] || [ "$host" = none ]; then continue; fi
    secret=${variable%HOST}PASSWORD
    if [ ! -e "$(secrets_folder)/$secret" ] && [ -z "$(setting TRANSHIP_REDSHIFT_CLUSTER)" ]; then
      fault "$variable is set, and $(secrets_folder)/$secret is not there. Write the password to it (an empty file where none is asked for)."
    fi
    local port
    port=$(setting "${variable%HOST}PORT" "$(case $kind in sqlserver) echo 1433 ;; redshift) echo 5439 ;; *) echo 5432 ;; esac)")
    if timeout 5 bash -c ": </dev/tcp/$host/$port" 2>/dev/null; then
      fine "$kind answers on $host:$port"
    else
      remark "$kind does not answer on $host:$port from this machine."
    fi
  done
  if [ -f .env ] && [ -f "$settings_file" ]; then
    remark ".env is there too: ./stack reads $settings_file only."
  fi
}

check_secrets() {
  local file
  for file in "$(secrets_folder)"/*; do
    [ -f "$file" ] || continue
    # Read by user 10001 of a container.
    case $(stat -c %A "$file") in
      ???????r??) ;;
      *) fault "$file cannot be read by the stack: chmod 644 $file, and keep others out of its folder: chmod 711 or 750 above it." ;;
    esac
  done
}

checks() {
  faults=0
  say "This machine:"
  if check_engine; then
    check_memory
    check_disk
    check_ports
    check_index
  fi
  check_name
  check_clock
  check_systems
  check_secrets
  ((faults == 0)) || fail "$faults of these keep the stack from running."
}
