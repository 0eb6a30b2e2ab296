#!/bin/bash
# run.sh [--json] [PART...]: bare interpreter, plain bwrap, other sandboxes and run_code side by side; a session
# beside a Jupyter kernel; a server over HTTP beside one made with the TypeScript SDK v2. See bench.py.
# Results: build/bench/latest.txt, .json, .svg, .md, and the same with their date in the name.
#
#   FUMEHOOD=PATH     the binary (build/fumehood)
#   BENCH_QUICK=1     a minute: fewer of all, no burst of 1,000, nothing over HTTP
#   BENCH_SECONDS=300 about how long all of it takes
#   BENCH_ROUNDS=N    so many rounds of the latency table, whatever their time; the other parts scale with it
#   BENCH_CALLS=N     calls after which growth is looked for, whatever their time: 100000; else up to 2000
#   BENCH_SESSIONS=200  how many wait side by side
#   MUST_RUN=1        a part that cannot run here is a failure, not a skip
#
# The TypeScript SDK's client and its Node.js are those of tests/clients, installed by its run.sh
# when they are missing; its server is installed here, from its lock file; other sandboxes by `make bench-peers`.
# Never fails for being slow; a wrong answer is a failure.
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
bash .ci/deps.sh bench >build/bench/install_kernel.log 2>&1 || tail -n 5 build/bench/install_kernel.log >&2
if [ ! -d "$sdk" ] || [ -z "$(client_node)" ]; then
	echo "installing the TypeScript SDK" >&2
	if ! { bash .ci/deps.sh clients && bash tests/clients/run.sh ts_sdk_v1; } \
		>build/bench/install.log 2>&1; then
		tail -n 15 build/bench/install.log >&2
	fi
fi
# once per lock file
install_server() {
	mkdir -p build/bench/sdk_server
	cp tests/bench/http/sdk_server/* build/bench/sdk_server/
	cd build/bench/sdk_server
	cmp -s package-lock.json .installed && return
	rm -f .installed
	timeout 300 npm ci --ignore-scripts --no-audit --no-fund && cp package-lock.json .installed
}
if ! (install_server) >build/bench/install_server.log 2>&1; then
	rm -rf build/bench/sdk_server/node_modules
	tail -n 15 build/bench/install_server.log >&2
fi
"${CC:-cc}" -std=c17 -D_GNU_SOURCE -O2 -Wall -Wextra -I. -include sandbox/base/banned.h \
	-o build/bench/load tests/bench/http/load.c sandbox/base/{buf,err,mem,sv}.c
BENCH_NODE=$(client_node)
export FUMEHOOD BENCH_NODE PYTHONDONTWRITEBYTECODE=1
# an import is resolved from where the file lies, not from where it is run
cp tests/bench/sdk_client.mjs build/bench/
ln -sfn ../clients/ts_sdk_v1/node_modules build/bench/node_modules
# what the caller has set must not reach the servers
unset XDG_STATE_HOME XDG_CONFIG_HOME
exec /usr/bin/python3 tests/bench/bench.py "$@"
