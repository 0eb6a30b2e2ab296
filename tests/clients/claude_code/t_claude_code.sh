#!/bin/sh
# Claude Code's own view of its MCP servers; needs no login.
# shellcheck disable=SC2034,SC2154 # read, and set, by tap.sh
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

http() {
	fresh
	serve --insecure-no-auth
	timeout 60 claude mcp add --transport http fumehood "$url"
	timeout 60 claude mcp list >out 2>&1
	cat out
	grep -F "fumehood: $url (HTTP)" out | grep -E '[^ a-zA-Z] Connected$'
}

example_http() {
	fresh
	serve_with_key
	FUMEHOOD_URL=$url timeout 60 "$EXAMPLES/clients/claude_code_http.sh" >out 2>&1
	cat out
	grep -F "fumehood: $url (HTTP)" out | grep -E '[^ a-zA-Z] Connected$'
	# the key itself is in no file
	! grep -rF "$FUMEHOOD_KEY" config
}

no_key() {
	fresh
	serve_with_key
	timeout 60 claude mcp add --transport http fumehood "$url"
	timeout 60 claude mcp list >out 2>&1
	cat out
	grep -F "fumehood: $url (HTTP)" out | grep -vE '[^ a-zA-Z] Connected$'
}

# The project's file, of which Claude Code wants to know that its user has agreed to it.
project() {
	fresh
	mkdir project config
	cd project || exit
	example "$1" .mcp.json
	printf '{"enableAllProjectMcpServers":true}\n' >"$HOME/config/settings.json"
	printf '{"projects":{"%s":{"hasTrustDialogAccepted":true,"enabledMcpjsonServers":["fumehood"]}}}\n' \
		"$PWD" >"$HOME/config/.claude.json"
	timeout 60 claude mcp list >out 2>&1
	cat out
	grep -F "fumehood: $2" out | grep -E '[^ a-zA-Z] Connected$'
}
project_stdio() { project claude_code_mcp.json "$FUMEHOOD stdio"; }
project_http() {
	serve_with_key
	project claude_code_mcp_http.json "$url (HTTP)"
}

# The tests above must be able to fail: a server that ends at once is not connected.
broken() {
	fresh
	timeout 60 claude mcp add fumehood -- /bin/false stdio
	timeout 60 claude mcp list >out 2>&1
	cat out
	grep -F 'fumehood: /bin/false stdio' out | grep -vE '[^ a-zA-Z] Connected$'
}

t "examples/clients/claude_code.sh adds the server and finds it connected" example_script
t "mcp get finds the server connected" get
t "mcp list finds the server connected over HTTP" http
t "examples/clients/claude_code_http.sh adds the server and finds it connected" example_http
t "a server that wants a key is not found connected without" no_key
t "examples/clients/claude_code_mcp.json is found connected" project_stdio
t "examples/clients/claude_code_mcp_http.json is found connected" project_http
t "a server that ends at once is not found connected" broken
finish
