#!/usr/bin/env bash
# Starts a node with the demo model and runs the official OpenAI clients against it: the Go client, and the Python client
# if PYTHON has it. usage: run.sh COVEY [EMBEDDING_MODEL_DIR]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
covey=$(realpath "$1")
data=$(mktemp -d)
trap 'kill "$pid" 2>/dev/null; wait "$pid" 2>/dev/null; rm -rf "$data"' EXIT
export COVEY_DATA=$data
"$covey" up --api 127.0.0.1:0 --listen /ip4/127.0.0.1/tcp/0 --mdns=false --nat=false >"$data.log" 2>&1 &
pid=$!
for _ in $(seq 100); do [ -s "$data/api.json" ] && break; sleep 0.1; done
"$covey" model import demo
"$covey" host demo --blocks all
if [ -n "${2:-}" ]; then
  "$covey" model import "$2" --name embed
  "$covey" host embed --blocks all
  export COVEY_EMBED=embed
fi
export COVEY_URL
COVEY_URL=$(sed 's/.*"url":"\([^"]*\)".*/\1/' "$data/api.json")
(cd "$here" && go test -count=1 -v .)
if "${PYTHON:-python3}" -c 'import openai' 2>/dev/null; then "${PYTHON:-python3}" "$here/clients.py"; else echo "no Python with openai: clients.py not run"; fi
