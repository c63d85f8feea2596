#!/usr/bin/env bash
# ./stack status, doctor, user, logs.

# Non-zero where a service is not well.
status() {
  local line name state health id run wrong=0
  # The containers of runs carry their image's labels, and with them the name of the service that it was built for.
  while IFS='|' read -r name state health id run; do
    [ -n "$name" ] && [ -z "$run" ] || continue
    case $state:$health in
      running:healthy | running:) line=well ;;
      running:starting) line="starting" ;;
      exited:*) line=$(ended "$id") ;;
      *) line="$state${health:+, $health}" ;;
    esac
    case $line in well | "has run") ;; *) wrong=$((wrong + 1)) ;; esac
    printf '%-20s %s\n' "$name" "$line"
  done < <(compose ps --all --format '{{.Service}}|{{.State}}|{{.Health}}|{{.ID}}|{{.Label "tranship/deployment"}}' | sort)
  local runs
  runs=$(docker ps --quiet --filter "label=tranship/deployment=$(project)" | wc -l)
  printf '%-20s %s\n' "runs under way" "$runs"
  printf '%-20s %s\n' "address" "$(address)"
  if ((wrong > 0)); then return 1; fi
}

ended() {
  local code
  code=$(docker inspect --format '{{.State.ExitCode}}' "$1" 2>/dev/null || echo "?")
  if [ "$code" = 0 ]; then echo "has run"; else echo "ended with exit code $code"; fi
}

doctor() {
  [ $# -eq 0 ] || fail "./stack doctor takes nothing."
  checks
  say "The stack:"
  status >&2 || fail "Not every service is well. ./stack logs SERVICE says why."
}

user() {
  has_front_door || fail "There is no login without a front door: ./stack install --domain NAME."
  local terminal=()
  [ -t 0 ] || terminal=(-T)
  compose exec "${terminal[@]}" login python -m login users "$@"
}

logs() {
  compose logs --tail 200 "$@"
}
