#!/bin/bash
# Uses a demo of its own as people and programs do: OpenAI's and Anthropic's SDKs for
# JavaScript and Go, and a real browser. Ends with 0 only when all of it passed.
set -uo pipefail
. "$(dirname "$0")/demo.sh"
cd "$e2e" || exit 1
trap finish EXIT

if [ ! node_modules -nt package-lock.json ]; then
  npm ci --silent --no-audit --no-fund || exit 1
  touch node_modules
fi
start_demo || exit 1
echo "First token $first_token_ms ms after the start."

E2E_UNKNOWN_KEY=$(node unknown-key.mjs) || exit 1
export E2E_UNKNOWN_KEY
failed=0
node --test --test-concurrency=1 sdk.test.mjs responses.test.mjs anthropic.test.mjs waking.test.mjs browser.test.mjs || failed=1
E2E_SLEEPING_MODEL=$(node sleeping.mjs) || failed=1
export E2E_SLEEPING_MODEL
go test -C gosdk -count=1 ./... || failed=1
stop_demo || { echo "serve did not stop in order:" >&2; tail -n 5 "$log" >&2; failed=1; }
exit $failed
