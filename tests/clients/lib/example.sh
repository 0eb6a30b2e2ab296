# example.sh: an example program as it is, over each transport. The test sets $client and
# $program, the words that run it, and calls example_cases.
# shellcheck shell=sh disable=SC2154
. ../lib/tap.sh

answered() {
	cat out
	grep -qx 'status: exited' out
	[ "$(tail -n 1 out)" = 42 ]
	# every tool by name, as the server itself names them
	"$FUMEHOOD" stdio --state "$HOME/listed" >list <<-END
	{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"t","version":"1"}}}
	{"jsonrpc":"2.0","id":2,"method":"tools/list"}
	END
	sed -n 2p list >tools
	sed -n 's/^tools: *//p' out >named
	is tools "it.result.tools.map(t => t.name).sort().join(' ') === '$(cat named)'"
}

# shellcheck disable=SC2086 # words
run_program() {
	timeout 60 $program "$@" >out 2>err || { cat out err; return 1; }
}

over_stdio() {
	run_program
	answered
}

over_stdio_words() {
	run_program "$FUMEHOOD" stdio --state "$HOME/other"
	answered
	recorded "$HOME/other"
}

over_http() {
	serve_with_key
	run_program "$url"
	answered
}

wrong_key() {
	serve_with_key
	FUMEHOOD_KEY=${FUMEHOOD_KEY%?????}AAAAA
	! run_program "$url"
}

example_cases() {
	t "$1 over stdio" over_stdio
	t "$1 with a command line" over_stdio_words
	t "$1 over HTTP with a key" over_http
	t "$1 is refused with a wrong key" wrong_key
}
