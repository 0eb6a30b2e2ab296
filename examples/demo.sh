#!/bin/bash
# The main job, shown: programs that behave, programs that do not, and what came of each; then the
# same over MCP, as an agent does it, and the record of it all. `make demo` runs this.
set -uo pipefail
cd "$(dirname "$0")/programs" || exit
fumehood=${FUMEHOOD:-../../build/fumehood}
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
export FUMEHOOD_STATE=$state
bad=0
bold='' plain=''
[ ! -t 1 ] || { bold=$'\033[1m'; plain=$'\033[0m'; }

# show TITLE WANTED-EXIT-CODE FILE [OPTION...]: runs a program; WANTED is what a working sandbox gives
show() {
	local title=$1 want=$2 file=$3 got
	shift 3
	printf "\n$bold%s$plain  (examples/programs/%s)\n" "$title" "$file"
	"$fumehood" run "$@" "$file" 2>&1 | tail -n 4 | sed 's/^/    /'
	got=${PIPESTATUS[0]}
	if [ "$got" -eq "$want" ]; then
		printf '  -> as it should be (exit code %s)\n' "$got"
	else
		printf '  -> NOT as it should be: exit code %s, not %s\n' "$got" "$want"
		bad=1
	fi
}

# answered ID: the end of its input ends the server, and what still runs with it, so wait for the answer
answered() {
	for _ in {1..200}; do
		grep -q "\"id\":$1," "$state/out" 2>/dev/null && break
		sleep 0.05
	done
}

# step ID SESSION CODE
step() {
	printf '{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{"name":"run_code","arguments":{"session_id":"%s","language":"python","code":"%s"}}}\n' "$@"
}

# shown ID WANTED: an answer, and whether it says what is wanted
shown() {
	local answer
	answer=$(grep "\"id\":$1," "$state/out")
	echo "    <-- $answer"
	case $answer in
	*"$2"*) echo "  -> as it should be" ;;
	*) echo "  -> NOT as it should be"; bad=1 ;;
	esac
}

echo "What programs print is indented; '->' is the verdict of this script."
show "Python" 0 hello.py
show "JavaScript" 0 hello.js
show "bash" 0 hello.sh
show "A fork bomb: the process limit stops it, nothing is left" 1 fork_bomb.py --timeout-ms 5000
show "A read of /etc/shadow: there is no such file in the sandbox" 1 read_shadow.py
show "A network call: there is no network in the sandbox" 1 network.py
show "An endless loop that ignores SIGTERM: ended at its time limit" 124 endless.sh --timeout-ms 1000

printf "\n${bold}The same over MCP, as an agent host does it$plain  (fumehood stdio)\n"
call='{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"run_code","arguments":{"language":"python","code":"print(sum(range(101)))"}}}'
{
	echo '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"demo","version":"1"}}}'
	echo '{"jsonrpc":"2.0","method":"notifications/initialized"}'
	echo "$call"
	answered 2
	echo '{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"session_create","arguments":{}}}'
	answered 3
	session=$(grep -o 'ses_[0-9a-f]*' "$state/out" | head -n 1)
	step 4 "$session" 'word = \"kept\"'
	step 5 "$session" 'word.upper()'
	answered 5
} | timeout 30 "$fumehood" stdio >"$state/out"
echo "    --> $call"
shown 2 '"stdout":"5050\n"'

printf "\n${bold}A session: what one call leaves is there for the next$plain  (session_create, run_code with session_id)\n"
echo '    --> word = "kept"'
echo '    --> word.upper()'
shown 5 '"outputs":[{"type":"result","text":"'"'KEPT'"'"}]'

printf "\n${bold}The record$plain  (fumehood audit list, fumehood audit verify)\n"
"$fumehood" audit list | sed 's/^/    /'
"$fumehood" audit verify | sed 's/^/    /' || bad=1
[ "${PIPESTATUS[0]}" -eq 0 ] || bad=1
echo
[ $bad -eq 0 ] && echo "All as it should be. Next: fumehood doctor; README.md says how to plug it into a client."
exit $bad
