#!/bin/bash
# Acceptance: serve is killed with SIGKILL in the middle of REQUESTS requests at
# CONNECTIONS connections, and started again. Afterwards every answer that a
# client had whole has one usage record, no record is there twice, and the
# instance serves again under the identity it had.
set -uo pipefail
. "$(dirname "$0")/../demo.sh"
cd "$e2e/.." || exit 1
requests=${REQUESTS:-2000} connections=${CONNECTIONS:-64}
trap finish EXIT
go build -o "$data/loadgen" ./bench/loadgen || exit 1
start_demo || exit 1

sql() { psql -XAtq "$("$binary" db url --data-dir "$data/data")" -c "$1"; }
completed() { sql "SELECT count(*) FROM gateway.usage_records WHERE status = 'completed'"; }
joins() { sql "SELECT instance_id, joined_at FROM instance.nodes ORDER BY 1"; }
load() { # COUNT: prints how many answers were whole
  "$data/loadgen" -url "$OPENAI_BASE_URL/chat/completions" -key "$OPENAI_API_KEY" -model "$OPENAI_MODEL" -stream -c "$connections" -n "$1" -d 120s
}
field() { node -pe "JSON.parse(require('fs').readFileSync('$1'))['$2']"; }

before=$(completed) joined=$(joins)
load "$requests" >"$data/first.json" &
loading=$!
until [ "$(completed)" -ge $((before + requests / 4)) ]; do sleep 0.05; done
kill -KILL "$serve"
wait "$serve" 2>/dev/null
wait "$loading"
first=$(field "$data/first.json" done)

start_demo || exit 1
echo "Served again $first_token_ms ms after the restart."
rest=$((requests - first))
load "$rest" >"$data/second.json"
second=$(field "$data/second.json" done)
answered=$((first + second))
for _ in $(seq 100); do
  stored=$(($(completed) - before))
  [ "$stored" -ge "$answered" ] && break
  sleep 0.1
done
twice=$(sql "SELECT count(*) FROM (SELECT request_id FROM gateway.usage_records GROUP BY 1 HAVING count(*) > 1) t")
cut=$(sql "SELECT count(*) FROM gateway.usage_records WHERE status = 'interrupted'")
echo "answered: $first before the kill, $second after it, $answered in all"
echo "records:  $stored completed, $cut interrupted, $twice twice"

failed=0
fail() { echo "FAILED: $1" >&2; failed=1; }
[ "$first" -gt 0 ] && [ "$first" -lt "$requests" ] || fail "the kill was not in the middle"
[ "$answered" -eq "$requests" ] || fail "not every request was answered after the restart"
[ "$stored" -ge "$answered" ] || fail "an answer has no record"
# A final record comes before the last byte: the kill may fall between them, once a connection.
[ "$stored" -le $((answered + connections)) ] || fail "there are records of more than was answered"
[ "$twice" -eq 0 ] || fail "a request is there twice"
[ -n "$joined" ] && [ "$(joins)" = "$joined" ] || fail "the instance joined anew"
[ "$failed" = 0 ] || { cat "$data/second.json"; sql "SELECT status, error, http_status, count(*) FROM gateway.usage_records GROUP BY 1,2,3"; }
exit $failed
