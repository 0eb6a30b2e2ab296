#!/bin/sh
# The MCP Inspector's command line, 2.x, in both protocol eras and over both transports.
# shellcheck disable=SC2034,SC2154 # read, and set, by tap.sh
client=inspector
. ../lib/tap.sh
here=$PWD
PROGRAM='{"language":"python","code":"print(6*7)"}'

inspect() {
	timeout 60 "$here/node_modules/.bin/mcp-inspector" --cli "$@" --format json -q
}

# over TRANSPORT INSPECTOR-ARGUMENT...: on a server of its own
over() {
	transport=$1
	shift
	if [ "$transport" = http ]; then
		[ -n "$server" ] || serve --insecure-no-auth
		inspect "$url" "$@"
	else
		inspect "$FUMEHOOD" stdio "$@"
	fi
}

strict() {
	over "$1" --protocol-era "$2" --method tools/list --strict >out 2>findings
	is out '["run_code", "run_command", "sandbox_info"].every(
		n => it.result.tools.some(t => t.name === n))'
	cat findings
	! grep -iE 'warning|error' findings
}
strict_legacy() { strict stdio legacy; }
strict_modern() { strict stdio modern; }
strict_http_legacy() { strict http legacy; }
strict_http_modern() { strict http modern; }
strict_http_auto() { strict http auto; }

call() {
	over "$1" --protocol-era "$2" --method tools/call \
		--tool-name run_code --tool-args-json "$PROGRAM" >out
	is out 'it.result.structuredContent.status === "exited"
		&& it.result.structuredContent.stdout === "42\n" && !it.result.isError'
}
call_legacy() { call stdio legacy; }
call_modern() { call stdio modern; }
call_http_legacy() { call http legacy; }
call_http_modern() { call http modern; }
call_http_auto() { call http auto; }

load() {
	over http --protocol-era "$1" --load --load-requests 200 --load-concurrency 20 \
		--method tools/call --tool-name run_code --tool-args-json "$PROGRAM" >out
	cat out
	is out 'it.result.requests === 200 && it.result.ok === 200'
}
load_legacy() { load legacy; }
load_modern() { load modern; }

string_arguments() {
	inspect "$FUMEHOOD" stdio --method tools/call --tool-name run_code \
		--tool-arg language=python --tool-arg 'code=print("a b")' \
		--tool-arg timeout_ms=5000 >out
	is out 'it.result.structuredContent.stdout === "a b\n"'
}

refused() {
	code=0
	over "$1" --method tools/call --tool-name run_code \
		--tool-args-json '{"language":"cobol85","code":"x"}' >out || code=$?
	# 5 is the Inspector's code for a result with isError
	[ "$code" -eq 5 ]
}
refused_stdio() { refused stdio; }
refused_http() { refused http; }

no_key() {
	serve_with_key
	code=0
	inspect "$url" --method tools/list >out 2>err || code=$?
	cat out err
	# 3 is its code for missing or wrong credentials
	[ "$code" -eq 3 ]
}

configured() {
	inspect --config "$HOME/$1" --server fumehood --method tools/call \
		--tool-name run_code --tool-args-json "$PROGRAM" >out
	is out 'it.result.structuredContent.stdout === "42\n"'
}
as_it_is() {
	example "$1" "$HOME/mcp.json"
	configured mcp.json
}
claude_desktop() { as_it_is claude_desktop.json; }
cursor() { as_it_is cursor_mcp.json; }
gemini() { as_it_is gemini_settings.json; }
claude_code() { as_it_is claude_code_mcp.json; }

# VS Code's own key for the same list
vscode() {
	example vscode_mcp.json mcp.json
	is mcp.json 'it.servers.fumehood.type === "stdio"'
	sed 's/"servers"/"mcpServers"/' mcp.json >inspector.json
	configured inspector.json
}

# With the key in place: each client writes the variable it is taken from in its own way.
keyed() {
	serve_with_key
	example "$1" mcp.json
	grep -F "Bearer $2\"" mcp.json
	sed -e "s/$3/$FUMEHOOD_KEY/" -e 's/"servers"/"mcpServers"/' \
		-e 's/"httpUrl"/"url"/' -e '/"type"/d' -e 's/"url"/"type": "http", &/' \
		mcp.json >inspector.json
	configured inspector.json
}
# shellcheck disable=SC2016 # for the clients to expand
claude_code_http() { keyed claude_code_mcp_http.json '${FUMEHOOD_KEY}' '\${FUMEHOOD_KEY}'; }
# shellcheck disable=SC2016
gemini_http() { keyed gemini_settings_http.json '${FUMEHOOD_KEY}' '\${FUMEHOOD_KEY}'; }
# shellcheck disable=SC2016
cursor_http() { keyed cursor_mcp_http.json '${env:FUMEHOOD_KEY}' '\${env:FUMEHOOD_KEY}'; }
# shellcheck disable=SC2016
vscode_http() { keyed vscode_mcp_http.json '${input:fumehood-key}' '\${input:fumehood-key}'; }

t "stdio, legacy: tools/list --strict finds nothing to complain about" strict_legacy
t "stdio, modern: tools/list --strict finds nothing to complain about" strict_modern
t "http, legacy: tools/list --strict finds nothing to complain about" strict_http_legacy
t "http, modern: tools/list --strict finds nothing to complain about" strict_http_modern
t "http, auto: tools/list --strict finds nothing to complain about" strict_http_auto
t "stdio, legacy: run_code gives the output of a program" call_legacy
t "stdio, modern: run_code gives the output of a program" call_modern
t "http, legacy: run_code gives the output of a program" call_http_legacy
t "http, modern: run_code gives the output of a program" call_http_modern
t "http, auto: run_code gives the output of a program" call_http_auto
t "http, legacy: 200 calls, 20 at a time, all succeed" load_legacy
t "http, modern: 200 calls, 20 at a time, all succeed" load_modern
t "arguments given as key=value arrive with their types" string_arguments
t "stdio: a language that is not there is a tool error" refused_stdio
t "http: a language that is not there is a tool error" refused_http
t "http: without a key it is told that one is needed" no_key
t "examples/clients/claude_desktop.json starts the server" claude_desktop
t "examples/clients/claude_code_mcp.json starts the server" claude_code
t "examples/clients/cursor_mcp.json starts the server" cursor
t "examples/clients/gemini_settings.json starts the server" gemini
t "examples/clients/vscode_mcp.json starts the server" vscode
t "examples/clients/claude_code_mcp_http.json reaches a server" claude_code_http
t "examples/clients/cursor_mcp_http.json reaches a server" cursor_http
t "examples/clients/gemini_settings_http.json reaches a server" gemini_http
t "examples/clients/vscode_mcp_http.json reaches a server" vscode_http
finish
