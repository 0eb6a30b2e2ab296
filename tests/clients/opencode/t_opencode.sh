#!/bin/sh
# opencode's own view of its MCP servers; needs no login.
# shellcheck disable=SC2034,SC2154 # read, and set, by tap.sh
client=opencode
. ../lib/tap.sh
# The package of the platform holds the binary; the usual one finds it in an install script.
opencode=$(echo "$PWD"/node_modules/opencode-linux-*/bin/opencode)
export OPENCODE_DISABLE_AUTOUPDATE=1 OPENCODE_DISABLE_MODELS_FETCH=1

listed() {
	timeout 60 "$opencode" mcp list >out 2>&1
	# its marks are coloured
	sed 's/\x1b\[[0-9;]*m//g' out >plain
	cat plain
}

configured() {
	mkdir -p .config/opencode
	printf '{"mcp":{"fumehood":%s}}\n' "$1" >.config/opencode/opencode.json
}

stdio() {
	configured "{\"type\":\"local\",\"command\":[\"$FUMEHOOD\",\"stdio\"]}"
	listed
	grep -E 'fumehood +connected' plain
}

http() {
	serve --insecure-no-auth
	configured "{\"type\":\"remote\",\"url\":\"$url\"}"
	listed
	grep -E 'fumehood +connected' plain
}

key() {
	serve_with_key
	configured "{\"type\":\"remote\",\"url\":\"$url\",\"oauth\":false,
		\"headers\":{\"Authorization\":\"Bearer {env:FUMEHOOD_KEY}\"}}"
	listed
	grep -E 'fumehood +connected' plain
}

broken() {
	configured '{"type":"local","command":["/bin/false","stdio"]}'
	listed
	grep -E 'fumehood +failed' plain
}

t "mcp list finds the server connected over stdio" stdio
t "mcp list finds the server connected over HTTP" http
t "mcp list finds the server connected over HTTP with a key" key
t "a server that ends at once is not found connected" broken
finish
