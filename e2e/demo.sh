# Sourced by run.sh and acceptance/*.sh: starts and stops a demo in a folder of
# its own. Every address has port 0 unless the caller sets LISTEN, AGENT_LISTEN
# and METRICS_LISTEN, so that runs never meet.
e2e=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
binary=${E2E_BINARY:-$e2e/../bin/inventiv}
for name in $(compgen -e | grep -E '^(INVENTIV_|OPENAI_|DATABASE_URL$)'); do unset "$name"; done

data=$(mktemp -d "${TMPDIR:-/tmp}/inventiv-e2e.XXXXXX")
chmod 755 "$data" # the database's user has to pass when we are root
log=$data/serve.log
serve=

# start_demo starts serve and returns once demo.env is there, with its settings.
start_demo() {
  local began
  rm -f "$data/data/demo.env" # a killed serve leaves its own
  began=$(date +%s%N)
  "$binary" serve --demo --data-dir "$data/data" --listen "${LISTEN:-127.0.0.1:0}" --agent-listen "${AGENT_LISTEN:-127.0.0.1:0}" \
    --metrics-listen "${METRICS_LISTEN:-127.0.0.1:0}" --log-format json "$@" >>"$data/serve.out" 2>>"$log" &
  serve=$!
  until [ -f "$data/data/demo.env" ]; do
    if ! kill -0 "$serve" 2>/dev/null || [ $(($(date +%s%N) - began)) -gt 60000000000 ]; then
      echo "The demo did not get ready. The end of its output and of its log:" >&2
      tail -n 5 "$data/serve.out" "$log" >&2
      return 1
    fi
    sleep 0.02
  done
  first_token_ms=$((($(date +%s%N) - began) / 1000000))
  . "$data/data/demo.env"
  LISTEN=$(said url) LISTEN=${LISTEN#http://} AGENT_LISTEN=$(said agents) METRICS_LISTEN=$(said metrics)
}

# said prints an address of the last start from its log.
said() { grep '"msg":"serving"' "$log" | tail -n 1 | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }

# stop_demo ends it as an operator would, which ends its agents too.
stop_demo() {
  [ -n "$serve" ] || return 0
  kill -TERM "$serve" 2>/dev/null
  wait "$serve"
  local status=$?
  serve=
  return $status
}

# finish is for the EXIT trap: nothing is left behind, whatever happened.
finish() {
  local status=$?
  stop_demo
  rm -rf "$data"
  exit $status
}
