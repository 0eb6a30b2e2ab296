#!/bin/sh
# Claude Code's own view of its MCP servers; needs no login.
# shellcheck disable=SC2034 # read by tap.sh
client=claude_code
. ../lib/tap.sh
# The package of the platform holds the binary; the usual one fetches it in an install script.
PATH=$(dirname "$PWD"/node_modules/@anthropic-ai/claude-code-linux-*/claude):$PATH
export PATH CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1

fresh() {
	CLAUDE_CONFIG_DIR=$HOME/config
	export CLAUDE_CONFIG_DIR
}

example_script() {
	fresh
	timeout 60 "$EXAMPLES/clients/claude_code.sh" >out 2>&1
	cat out
	grep -F "fumehood: $FUMEHOOD stdio" out | grep -E '[^ a-zA-Z] Connected$'
}

get() {
	fresh
	timeout 60 claude mcp add fumehood -- "$FUMEHOOD" stdio
	timeout 60 claude mcp get fumehood >out 2>&1
	cat out
	grep -E 'Status: .* Connected' out
}

# The two tests above must be able to fail: a server that ends at once is not connected.
broken() {
	fresh
	timeout 60 claude mcp add fumehood -- /bin/false stdio
	timeout 60 claude mcp list >out 2>&1
	cat out
	grep -F 'fumehood: /bin/false stdio' out | grep -vE '[^ a-zA-Z] Connected$'
}

t "examples/clients/claude_code.sh adds the server and finds it connected" example_script
t "mcp get finds the server connected" get
t "a server that ends at once is not found connected" broken
finish
