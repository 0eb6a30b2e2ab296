# tap.sh: TAP for the clients that are commands. `t NAME FUNCTION` runs the function with set -e
# in a home folder of its own; at the end, `finish`. The test sets $client.
# shellcheck shell=sh disable=SC2120,SC2154,SC2181
count=0
failures=0
lib=$(cd ../lib && pwd)

t() {
	count=$((count + 1))
	HOME=$(mktemp -d)
	export HOME
	# not as a condition: that would switch set -e off inside
	(set -eu; cd "$HOME"; server=; trap 'end_server' EXIT; "$2"; ended_well) >"$HOME/log" 2>&1
	if [ $? -eq 0 ]; then
		echo "ok $count - $client: $1"
	else
		failures=$((failures + 1))
		echo "not ok $count - $client: $1"
		sed 's/^/# /' "$HOME/log"
	fi
}

finish() {
	echo "1..$count"
	[ "$failures" -eq 0 ]
}

# An example with the path of the binary under test, and the server's URL if there is one, at a
# new place.
example() {
	mkdir -p "$(dirname "$2")"
	sed -e "s|/usr/local/bin/fumehood|$FUMEHOOD|" \
		-e "s|http://127.0.0.1:8080/mcp|${url-}|" "$EXAMPLES/clients/$1" >"$2"
}

is() {
	node "$lib/json_is.mjs" "$@"
}

# --- an HTTP server, for as long as the test runs ---------------------------------------------------

# serve [OPTION...]: on a port of its own; sets $url and $state.
serve() {
	state=$HOME/served
	"$FUMEHOOD" serve --listen 127.0.0.1:0 --state "$state" "$@" 2>serve.log &
	server=$!
	tries=0
	url=
	while [ -z "$url" ]; do
		url=$(sed -n 's|.*event=listening.* address="*\(127.0.0.1:[0-9]*\).*|http://\1/mcp|p' \
			serve.log | head -n 1)
		tries=$((tries + 1))
		if [ $tries -gt 500 ] || ! kill -0 "$server" 2>/dev/null; then
			cat serve.log
			return 1
		fi
		[ -n "$url" ] || sleep 0.02
	done
}

# The same, open to who has $FUMEHOOD_KEY.
serve_with_key() {
	FUMEHOOD_KEY=$("$FUMEHOOD" key create test --state "$HOME/served")
	export FUMEHOOD_KEY
	serve
}

end_server() {
	[ -z "$server" ] || kill -KILL "$server" 2>/dev/null || true
}

# A server survives its SIGTERM with code 0, and what it or a client's own server recorded is
# complete.
ended_well() {
	if [ -n "$server" ]; then
		kill -TERM "$server"
		wait "$server"
		server=
		recorded "$state"
	fi
	[ ! -d "$HOME/.local/state/fumehood" ] || recorded "$HOME/.local/state/fumehood"
}

# Unbroken, and every run in it has its outcome.
recorded() {
	"$FUMEHOOD" audit verify --json --state "$1" >verified
	is verified 'it.intact === true && it.warnings_count === 0'
}
