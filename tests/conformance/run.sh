#!/bin/bash
# run.sh: the official MCP conformance suite against `$FUMEHOOD serve --conformance-fixtures`.
#
#   FUMEHOOD=PATH    the binary (build/fumehood)
#   MUST_RUN=1       a suite that cannot be installed is a failure, not a skip
#
# Both requirement sets run, each on its own wire, and with them the scenarios that do not count.
# expected.txt says which must be there and pass. What each check said is in build/conformance/.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
here=$PWD/tests/conformance work=$PWD/build/conformance
FUMEHOOD=$(realpath -m "${FUMEHOOD:-build/fumehood}")
# What the caller has set must not reach the server under test.
unset XDG_STATE_HOME XDG_CONFIG_HOME
server='' state=$(mktemp -d)
trap '[ -z "$server" ] || kill "$server" 2>/dev/null; wait; rm -rf "$state"' EXIT
trap 'exit 130' INT TERM

# From the lock file, unless it is the one installed last.
install() {
	local sum
	mkdir -p "$work" && cp "$here/package.json" "$here/package-lock.json" "$work/"
	sum=$(sha256sum <"$here/package-lock.json")
	[ "$(cat "$work/.installed" 2>/dev/null)" != "$sum" ] || return 0
	(cd "$work" && npm ci --ignore-scripts --no-audit --no-fund) >"$work/install.log" 2>&1 ||
		return 1
	echo "$sum" >"$work/.installed"
}

# Sets url when the server listens; fails when it ends before that.
start() {
	local line
	exec {says}< <(exec "$FUMEHOOD" serve --listen 127.0.0.1:0 --insecure-no-auth \
		--conformance-fixtures --state "$state" 2>&1 >/dev/null </dev/null)
	server=$!
	: >"$work/server.log"
	while read -r -t 20 -u "$says" line; do
		echo "$line" >>"$work/server.log"
		if [[ $line =~ event=listening.*address=([^ ]+) ]]; then
			url=http://${BASH_REMATCH[1]}/mcp
			# else it would block once the pipe is full
			cat <&"$says" >>"$work/server.log" &
			return 0
		fi
	done
	echo "run.sh: the server does not listen:" >&2
	cat "$work/server.log" >&2
	return 1
}

suite() {
	rm -rf "$work/results/$1"
	mkdir -p "$work/results/$1"
	timeout -k 5 240 "$node" "$work/node_modules/@modelcontextprotocol/conformance/dist/index.js" \
		server --url "$url" --requirements "$1" -o "$work/results/$1" >"$work/$1.log" 2>&1
}

if [ ! -x "$FUMEHOOD" ]; then
	echo "run.sh: no server at $FUMEHOOD: run make, or set FUMEHOOD" >&2
	exit 1
fi
if ! install; then
	sed 's/^/# /' "$work/install.log" | tail -n 15
	echo "the conformance suite could not be installed"
	[ "${MUST_RUN:-0}" != 1 ]
	exit
fi
node=$(echo "$work"/node_modules/node-linux-*/bin/node)
start || exit 1
# what came of each scenario is judged by the report, not by the suite's exit code
suite 2025-11-25
suite 2026-07-28
if ! kill -0 "$server" 2>/dev/null; then
	echo "the server died: $work/server.log"
	exit 1
fi
"$node" "$here/report.mjs" "$here/expected.txt" "$work/results"
