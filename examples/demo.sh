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
	# the end of its input ends the server, and what still runs with it: wait for the answer
	for _ in {1..200}; do
		grep -q '"id":2' "$state/out" 2>/dev/null && break
		sleep 0.05
	done
} | timeout 30 "$fumehood" stdio >"$state/out"
echo "    --> $call"
answer=$(grep '"id":2' "$state/out")
echo "    <-- $answer"
case $answer in
*'"stdout":"5050\n"'*) echo "  -> as it should be" ;;
*) echo "  -> NOT as it should be"; bad=1 ;;
esac

printf "\n${bold}The record$plain  (fumehood audit list, fumehood audit verify)\n"
"$fumehood" audit list | sed 's/^/    /'
"$fumehood" audit verify | sed 's/^/    /' || bad=1
[ "${PIPESTATUS[0]}" -eq 0 ] || bad=1
echo
[ $bad -eq 0 ] && echo "All as it should be. Next: fumehood doctor; README.md says how to plug it into a client."
exit $bad
