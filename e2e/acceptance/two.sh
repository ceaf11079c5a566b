#!/bin/bash
# Acceptance: two serve share one PostgreSQL that belongs to neither, one mock
# cloud and one key ring. One of them, at random, is killed with SIGKILL around
# each of COUNT deployments and again around each deletion. Afterwards all is as
# it was asked for: nothing twice, nothing left, every charge as long as what it charges.
set -uo pipefail
. "$(dirname "$0")/../demo.sh"
cd "$e2e/.." || exit 1
count=${COUNT:-20}
pids=(0 0)
trap '{ kill -KILL ${pids[@]}; wait ${pids[@]}; } 2>/dev/null; kill -KILL $(agents) 2>/dev/null; finish' EXIT
agents() { grep -o '"pid": *[0-9]*' "$data/cloud/inventory.json" 2>/dev/null | grep -o '[0-9]*$'; }

start_demo || exit 1 # for its database server only
url=$("$binary" db url --data-dir "$data/data")
psql -Xq "$url" -c 'CREATE DATABASE shared' || exit 1
shared=${url/\/inventiv\?/\/shared?}
sql() { psql -XAtq "$shared" -c "$1"; }
read -ra ports < <(node -e 'const net=require("net"); const s=[...Array(6)].map(()=>net.createServer().listen(0,"127.0.0.1"));
  Promise.all(s.map(x=>new Promise(r=>x.once("listening",r)))).then(()=>{console.log(s.map(x=>x.address().port).join(" ")); s.forEach(x=>x.close())})')
site() { echo "http://127.0.0.1:${ports[$1]}"; }
mkdir -m 700 "$data/cloud" # slow enough for kills to fall between the steps
echo '{"delay": {"call_ms": 100, "boot_ms": 500, "delete_ms": 500}}' >"$data/cloud/mock.json"
(umask 077; echo "correct horse $RANDOM battery" >"$data/password")

serve() { # 0 or 1
  env -u INVENTIV_API_KEY -u INVENTIV_URL -u INVENTIV_ADMIN_EMAIL -u INVENTIV_ADMIN_PASSWORD \
    INVENTIV_DATABASE_URL="$shared" "$binary" serve --data-dir "$data/serve$1" --master-key-file "$data/shared.key" \
    --providers mock --mock-dir "$data/cloud" --admin-password-file "$data/password" --listen "127.0.0.1:${ports[$1]}" \
    --agent-listen "127.0.0.1:${ports[$(($1 + 2))]}" --agent-endpoint "127.0.0.1:${ports[2]},127.0.0.1:${ports[3]}" \
    --metrics-listen "127.0.0.1:${ports[$(($1 + 4))]}" --log-format json >>"$data/serve.out" 2>>"$data/serve$1.log" &
  pids[$1]=$!
}
within() { # SECONDS COMMAND...: waits until the command succeeds
  local end=$((SECONDS + $1))
  shift
  until "$@"; do
    [ $SECONDS -lt $end ] || { echo "FAILED: not in time: $*" >&2; tail -n 3 "$data"/serve?.log >&2; exit 1; }
    sleep 0.2
  done
}
up() { curl -fs "$(site "$1")/readyz" >/dev/null; }
client() { # asks whichever answers
  INVENTIV_URL=$(site 0) "$binary" "$@" >/dev/null 2>"$data/client" || INVENTIV_URL=$(site 1) "$binary" "$@" >/dev/null 2>"$data/client"
}
kill_one() {
  local who=$((RANDOM % 2))
  within 30 up 0
  within 30 up 1
  sleep "0.$((RANDOM % 900 + 100))"
  { kill -KILL "${pids[$who]}"; wait "${pids[$who]}"; } 2>/dev/null
  kills=$((kills + 1))
  serve "$who"
}

serve 0; within 30 up 0; serve 1; within 30 up 1
curl -fs -c "$data/jar" -o /dev/null --data-urlencode email=admin@inventiv.local --data-urlencode "password=$(cat "$data/password")" "$(site 0)/sign-in"
key=$(curl -s -b "$data/jar" -H 'Content-Type: application/json' -d '{"name": "driver", "scopes": ["admin"]}' "$(site 0)/api/v1/keys" | grep -o 'sk-inv-[0-9A-Za-z]\{10\}-[0-9A-Za-z]\{49\}')
[ -n "$key" ] || { echo "FAILED: no API key" >&2; exit 1; }
export INVENTIV_API_KEY=$key
model=inventiv/simulated-chat
offer=$(INVENTIV_URL=$(site 0) "$binary" models offers "$model" -o json | grep -o 'mock/[^"]*' | head -n 1)
kills=0

created=$SECONDS
for i in $(seq "$count"); do
  client deployments create "d$i" --model "$model" --offer "${offer:?no offer of the mock cloud}"
  kill_one
  within 20 eval '[ "$(sql "SELECT count(*) FROM instance.deployments WHERE name = '"'d$i'"'")" = 1 ] || { client deployments create "d$i" --model "$model" --offer "$offer"; false; }'
done
within 120 eval '[ "$(sql "SELECT count(*) FROM instance.instances WHERE state = '"'ready'"'")" = "$count" ]'
echo "$count deployments ready $((SECONDS - created)) s after the first was asked for, with $kills kills."

deleted=$SECONDS
for i in $(seq "$count"); do
  client deployments delete "d$i" --yes
  kill_one
  client deployments delete "d$i" --yes
done
within 180 eval '[ "$(sql "SELECT count(*) FROM instance.instances WHERE state NOT IN ('"'terminated','archived'"')")" = 0 ]'
within 60 eval '[ "$(sql "SELECT count(*) FROM finops.charges WHERE ended_at IS NULL")" = 0 ]'
echo "All terminated $((SECONDS - deleted)) s after the first deletion, with $kills kills in all."

instances=$(sql 'SELECT count(*) FROM instance.instances')
servers=$(sql "SELECT count(*) FROM instance.resources WHERE kind = 'server'")
wrong=$(sql 'SELECT count(*) FROM instance.resources r FULL JOIN finops.charges c USING (id)
             WHERE c.started_at IS DISTINCT FROM r.created_at OR c.ended_at IS DISTINCT FROM r.gone_at')
left=$(node -pe "Object.values(JSON.parse(require('fs').readFileSync('$data/cloud/inventory.json')).servers).filter(s => !s.gone_at).length")
echo "$instances instances, $servers servers made, $left left at the provider, $wrong charges that differ from their interval."
[ "$instances" = "$count" ] && [ "$servers" = "$count" ] && [ "$left" = 0 ] && [ "$wrong" = 0 ] || { echo FAILED >&2; exit 1; }
