#!/bin/sh
# The MCP Inspector's command line, in both protocol eras.
# shellcheck disable=SC2034 # read by tap.sh
client=inspector
. ../lib/tap.sh
here=$PWD
PROGRAM='{"language":"python","code":"print(6*7)"}'

inspect() {
	timeout 60 "$here/node_modules/.bin/mcp-inspector" --cli "$@" --format json -q
}

is() {
	node "$here/../lib/json_is.mjs" "$@"
}

strict() {
	inspect "$FUMEHOOD" stdio --protocol-era "$1" --method tools/list \
		--strict >out 2>findings
	is out '["run_code", "run_command", "sandbox_info"].every(
		n => it.result.tools.some(t => t.name === n))'
	cat findings
	! grep -iE 'warning|error' findings
}
strict_legacy() { strict legacy; }
strict_modern() { strict modern; }

call() {
	inspect "$FUMEHOOD" stdio --protocol-era "$1" --method tools/call \
		--tool-name run_code --tool-args-json "$PROGRAM" >out
	is out 'it.result.structuredContent.status === "exited"
		&& it.result.structuredContent.stdout === "42\n" && !it.result.isError'
}
call_legacy() { call legacy; }
call_modern() { call modern; }

string_arguments() {
	inspect "$FUMEHOOD" stdio --method tools/call --tool-name run_code \
		--tool-arg language=python --tool-arg 'code=print("a b")' \
		--tool-arg timeout_ms=5000 >out
	is out 'it.result.structuredContent.stdout === "a b\n"'
}

refused() {
	code=0
	inspect "$FUMEHOOD" stdio --method tools/call --tool-name run_code \
		--tool-args-json '{"language":"cobol85","code":"x"}' >out || code=$?
	# 5 is the Inspector's code for a result with isError
	[ "$code" -eq 5 ]
}

configured() {
	example "$1" "$HOME/mcp.json"
	inspect --config "$HOME/mcp.json" --server fumehood --method tools/call \
		--tool-name run_code --tool-args-json "$PROGRAM" >out
	is out 'it.result.structuredContent.stdout === "42\n"'
}
claude_desktop() { configured claude_desktop.json; }
cursor() { configured cursor_mcp.json; }
gemini() { configured gemini_settings.json; }

vscode() {
	example vscode_mcp.json mcp.json
	is mcp.json 'it.servers.fumehood.type === "stdio"'
	# VS Code's own key for the same list
	sed 's/"servers"/"mcpServers"/' mcp.json >inspector.json
	inspect --config "$HOME/inspector.json" --server fumehood \
		--method tools/list >out
	is out 'it.result.tools.some(t => t.name === "run_code")'
}

t "legacy: tools/list --strict finds nothing to complain about" strict_legacy
t "modern: tools/list --strict finds nothing to complain about" strict_modern
t "legacy: run_code gives the output of a program" call_legacy
t "modern: run_code gives the output of a program" call_modern
t "arguments given as key=value arrive with their types" string_arguments
t "a language that is not there is a tool error" refused
t "examples/clients/claude_desktop.json starts the server" claude_desktop
t "examples/clients/cursor_mcp.json starts the server" cursor
t "examples/clients/gemini_settings.json starts the server" gemini
t "examples/clients/vscode_mcp.json starts the server" vscode
finish
