#!/usr/bin/env bash
# Drives the search page in headless Chromium.
#   run.sh PROGRAM INDEX    serves INDEX with PROGRAM (the cloze binary) and the bundled reader, and tests its page
#   run.sh ADDRESS          tests the page of a running server, which must take writes
# Adds a few documents for the test and deletes them again. Left out, with a line that says so, where Chromium or
# Node.js can neither be found nor be installed. SCREENSHOTS=FOLDER keeps pictures.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

leave_out() { echo "the page was not tested in a browser: $1"; exit 0; }
find_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; }

find_chromium >/dev/null || { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null \
  && apt-get update -qq && apt-get install -y -qq chromium >/dev/null; } || true
chromium=$(find_chromium) || leave_out 'no Chromium'
command -v npm >/dev/null || leave_out 'no npm'
(cd "$here" && npm ci --silent --no-audit --no-fund) || leave_out 'playwright-core cannot be installed'

if [ $# -eq 1 ]; then
  address=$1
else
  out=$(mktemp)
  "$1" serve --index "$2" --port 0 --reader bundled >"$out" &
  server=$!
  trap 'kill "$server" 2>/dev/null; wait "$server" || true; rm -f "$out"' EXIT
  for _ in $(seq 300); do
    grep -q '^http' "$out" && break
    kill -0 "$server" 2>/dev/null || { echo 'the server ended at once' >&2; exit 1; }
    sleep 0.1
  done
  address=$(grep -m1 '^http' "$out")
fi
node "$here/page.mjs" "$address" "$chromium"
