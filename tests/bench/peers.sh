#!/bin/bash
# peers.sh: installs what bench.py compares with beside plain bwrap, into build/peers, from its lock file: Anthropic's
# sandbox-runtime, codex and deno. crun and podman come from Debian (.ci/packages.txt, group peers). What is in
# PATH already is found there; what is nowhere is named in the table as absent.
set -euo pipefail
cd "$(dirname "$0")/../.."
bash .ci/deps.sh peers
mkdir -p build/peers
cp tests/bench/peers/package.json tests/bench/peers/package-lock.json build/peers/
cd build/peers
cmp -s package-lock.json .installed && exit
rm -f .installed
timeout 600 npm ci --ignore-scripts --no-audit --no-fund
cp package-lock.json .installed
