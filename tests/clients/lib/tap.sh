# tap.sh: TAP for the clients that are commands. `t NAME FUNCTION` runs the function with set -e
# in a home folder of its own; at the end, `finish`. The test sets $client.
# shellcheck shell=sh disable=SC2154,SC2181
count=0
failures=0

t() {
	count=$((count + 1))
	HOME=$(mktemp -d)
	export HOME
	# not as a condition: that would switch set -e off inside
	(set -eu; cd "$HOME"; "$2") >"$HOME/log" 2>&1
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

# An example with the path of the binary under test, at a new place.
example() {
	mkdir -p "$(dirname "$2")"
	sed "s|/usr/local/bin/fumehood|$FUMEHOOD|" "$EXAMPLES/clients/$1" >"$2"
}
