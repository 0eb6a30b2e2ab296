#!/bin/sh
# The MCP Inspector's command line, 1.x: legacy only.
# shellcheck disable=SC2034,SC2154 # read, and set, by tap.sh
client=inspector_v1
. ../lib/tap.sh
here=$PWD

inspect() {
	timeout 60 "$here/node_modules/.bin/mcp-inspector" --cli "$@"
}

over() {
	transport=$1
	shift
	if [ "$transport" = http ]; then
		serve --insecure-no-auth
		inspect "$url" --transport http "$@"
	else
		inspect "$FUMEHOOD" stdio "$@"
	fi
}

list() {
	over "$1" --method tools/list >out
	is out '["run_code", "run_command", "sandbox_info"].every(
		n => it.tools.some(t => t.name === n && t.inputSchema.type === "object"))'
}
list_stdio() { list stdio; }
list_http() { list http; }

call() {
	over "$1" --method tools/call --tool-name run_code --tool-arg language=python \
		--tool-arg 'code=print(6*7)' >out
	is out 'it.structuredContent.status === "exited"
		&& it.structuredContent.stdout === "42\n" && !it.isError'
}
call_stdio() { call stdio; }
call_http() { call http; }

refused() {
	over "$1" --method tools/call --tool-name run_code --tool-arg language=cobol85 \
		--tool-arg code=x >out
	is out 'it.isError === true && /python/.test(it.content[0].text)'
}
refused_stdio() { refused stdio; }
refused_http() { refused http; }

key() {
	serve_with_key
	inspect "$url" --transport http --header "Authorization: Bearer $FUMEHOOD_KEY" \
		--method tools/list >out
	is out 'it.tools.length >= 3'
}

no_key() {
	serve_with_key
	! inspect "$url" --transport http --method tools/list
}

t "stdio: tools/list shows the tools and their schemas" list_stdio
t "http: tools/list shows the tools and their schemas" list_http
t "stdio: run_code gives the output of a program" call_stdio
t "http: run_code gives the output of a program" call_http
t "stdio: a language that is not there is a tool error" refused_stdio
t "http: a language that is not there is a tool error" refused_http
t "http: with a key" key
t "http: refused without a key" no_key
finish
