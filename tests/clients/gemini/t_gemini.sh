#!/bin/sh
# Gemini CLI's own view of its MCP servers; needs no login.
# shellcheck disable=SC2034 # read by tap.sh
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
	grep -F "fumehood: $1 stdio (stdio) - $2" out
}

settings() {
	trust
	example gemini_settings.json "$HOME/.gemini/settings.json"
	listed "$FUMEHOOD" Connected
}

added() {
	trust
	timeout 60 "$gemini" mcp add fumehood "$FUMEHOOD" stdio
	listed "$FUMEHOOD" Connected
}

broken() {
	trust
	timeout 60 "$gemini" mcp add fumehood /bin/false stdio
	listed /bin/false Disconnected
}

t "examples/clients/gemini_settings.json is found connected" settings
t "mcp add and mcp list find the server connected" added
t "a server that ends at once is not found connected" broken
finish
