#!/bin/sh
# Gemini CLI's own view of its MCP servers; needs no login.
# shellcheck disable=SC2034,SC2154 # read, and set, by tap.sh
client=gemini
. ../lib/tap.sh
gemini=$PWD/node_modules/.bin/gemini

# A server of an untrusted folder is never started; the home folder cannot be a project.
trust() {
	mkdir -p "$HOME/.gemini" "$HOME/project"
	printf '{"%s":"TRUST_FOLDER"}\n' "$HOME/project" >"$HOME/.gemini/trustedFolders.json"
	cd "$HOME/project" || exit
}

listed() {
	timeout 60 "$gemini" mcp list >out 2>&1
	cat out
	grep -F "fumehood: $1 - $2" out
}

settings() {
	trust
	example gemini_settings.json "$HOME/.gemini/settings.json"
	listed "$FUMEHOOD stdio (stdio)" Connected
}

added() {
	trust
	timeout 60 "$gemini" mcp add fumehood "$FUMEHOOD" stdio
	listed "$FUMEHOOD stdio (stdio)" Connected
}

http() {
	trust
	serve --insecure-no-auth
	timeout 60 "$gemini" mcp add --transport http fumehood "$url"
	listed "$url (http)" Connected
}

settings_http() {
	trust
	serve_with_key
	example gemini_settings_http.json "$HOME/.gemini/settings.json"
	listed "$url (http)" Connected
}

no_key() {
	trust
	serve_with_key
	timeout 60 "$gemini" mcp add --transport http fumehood "$url"
	timeout 60 "$gemini" mcp list >out 2>&1
	cat out
	grep -F "fumehood: $url (http) - " out | grep -v ' - Connected'
}

broken() {
	trust
	timeout 60 "$gemini" mcp add fumehood /bin/false stdio
	listed "/bin/false stdio (stdio)" Disconnected
}

t "examples/clients/gemini_settings.json is found connected" settings
t "mcp add and mcp list find the server connected" added
t "mcp add and mcp list find the server connected over HTTP" http
t "examples/clients/gemini_settings_http.json is found connected" settings_http
t "a server that wants a key is not found connected without" no_key
t "a server that ends at once is not found connected" broken
finish
