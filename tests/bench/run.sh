#!/bin/bash
# run.sh [--json]: bare interpreter, plain bwrap and run_code side by side; see bench.py.
#
#   FUMEHOOD=PATH     the binary (build/fumehood)
#   BENCH_ROUNDS=100  rounds of the latency table; the other parts scale with it
#   MUST_RUN=1        a part that cannot run here is a failure, not a skip
#
# The TypeScript SDK and its Node.js are those of tests/clients, installed by its run.sh when they
# are missing. Never fails for being slow; a wrong answer is a failure.
set -euo pipefail
cd "$(dirname "$0")/../.."
FUMEHOOD=$(realpath -m "${FUMEHOOD:-build/fumehood}")
clients=$PWD/build/clients
sdk=$clients/ts_sdk_v1/node_modules/@modelcontextprotocol/sdk

if [ ! -x "$FUMEHOOD" ]; then
	echo "run.sh: no server at $FUMEHOOD: run make, or set FUMEHOOD" >&2
	exit 1
fi
client_node() {
	compgen -G "$clients/node/node_modules/node-linux-*/bin/node" | head -n 1 || true
}
mkdir -p build/bench
if [ ! -d "$sdk" ] || [ -z "$(client_node)" ]; then
	echo "installing the TypeScript SDK" >&2
	if ! { bash .ci/deps.sh clients && sh tests/clients/run.sh ts_sdk_v1; } \
		>build/bench/install.log 2>&1; then
		tail -n 15 build/bench/install.log >&2
	fi
fi
BENCH_NODE=$(client_node)
export FUMEHOOD BENCH_NODE PYTHONDONTWRITEBYTECODE=1
# an import is resolved from where the file lies, not from where it is run
cp tests/bench/sdk_client.mjs build/bench/
ln -sfn ../clients/ts_sdk_v1/node_modules build/bench/node_modules
# what the caller has set must not reach the servers
unset XDG_STATE_HOME XDG_CONFIG_HOME
exec /usr/bin/python3 tests/bench/bench.py "$@"
