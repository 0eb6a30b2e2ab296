#!/bin/bash
# The checks of `make lint` can fail: for every rule of rooms.txt an object that breaks it is
# refused and one that keeps it passes; likewise include direction and sizes. TAP, run by prove.
set -euo pipefail
cd "$(dirname "$0")/../.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
count=0 failed=0

ok() {	# DESCRIPTION COMMAND...
	local what=$1
	shift
	count=$((count + 1))
	if "$@" >"$tmp/out" 2>&1; then
		echo "ok $count - $what"
	else
		echo "not ok $count - $what"
		sed 's/^/# /' "$tmp/out"
		failed=1
	fi
}
not() { ! "$@"; }

# object PATH SYMBOL...: an object that references the symbols
object() {
	local at=$tmp/o/$1.o
	shift
	mkdir -p "$(dirname "$at")"
	printf '.quad %s\n' "$@" | "${CC:-cc}" -x assembler -c -o "$at" -
}
empty_tree() {
	local place
	rm -rf "$tmp/o"
	for place in $(sed -nE 's/^(only|deny) +([^ ]+).*/\2/p' tests/rooms.txt | tr , '\n' |
		grep -v '^nobody$'); do
		if [ -e "$place.c" ]; then
			object "$place" memcpy
		else
			object "$place/x" memcpy
		fi
	done
}
rooms() { bash tests/lib/rooms.sh "$tmp/o"; }
refused() {	# COUNT: exactly so many lines of refusal
	local n
	n=$(rooms | tee "$tmp/said" | grep -c 'may not reference') || true
	[ "$n" = "$1" ] || { echo "$n refusals, $1 expected"; cat "$tmp/said"; return 1; }
}

empty_tree
ok "objects that keep to their rooms pass" rooms
while read -r kind places symbols; do
	empty_tree
	words=()
	for s in $(set -f; echo $symbols); do
		words+=("${s//\*/x}")
	done
	case $kind in
	only) place=sandbox/base/other ;;
	deny) place=${places##*,}/other ;;
	esac
	object "$place" "${words[@]}"
	ok "$kind $places: all of ${words[*]} are refused in $place" refused ${#words[@]}
	[ "$kind" = only ] && [ "$places" != nobody ] || continue
	empty_tree
	place=${places%%,*}
	[ -e "$place.c" ] || place=$place/other
	object "$place" "${words[@]}"
	ok "$kind $places: they pass in $place" refused 0
done < <(grep -E '^(only|deny) ' tests/rooms.txt)
empty_tree
object sandbox/policy/other __read_chk open64 __open_2 clock_gettime
ok "fortified and large-file names are the same symbols" refused 4
rm -rf "$tmp/o/sandbox/ledger"
ok "a rule for a room without objects is refused" not rooms

# source PATH TEXT
source_file() {
	mkdir -p "$tmp/src/"{mcp,tools,sandbox} "$(dirname "$tmp/src/$1")"
	printf '%b' "$2" >"$tmp/src/$1"
}
includes() {	# PATH INCLUDED: the verdict on one include
	rm -rf "$tmp/src"
	source_file "$1" "#include $2\n"
	bash tests/lib/includes.sh "$tmp/src"
}
ok "mcp may include tools" includes mcp/protocol/x.c '"tools/tools.h"'
ok "tools may include a room's public header" includes tools/x.c '"sandbox/supervise/supervise.h"'
ok "a room may include its own inner header" includes sandbox/ledger/x.c '"sandbox/ledger/store.h"'
ok "tools may not include mcp" not includes tools/x.c '"mcp/jsonrpc/jsonrpc.h"'
ok "the sandbox may not include tools" not includes sandbox/launch/x.c '"tools/tools.h"'
ok "base may not include a room" not includes sandbox/base/x.c '"sandbox/policy/policy.h"'
ok "no room may reach past a public header" not includes mcp/protocol/x.c '"mcp/jsonrpc/scan.h"'
ok "sqlite3.h belongs to the ledger" not includes sandbox/supervise/x.c '<sqlite3.h>'
ok "seccomp.h may be included by launch" includes sandbox/launch/x.c '<seccomp.h>'
ok "an include is written from the root" not includes sandbox/launch/x.c '"child.h"'

function_of() {	# LINES: of the whole function
	printf 'static int f(void)\n{\n'
	for ((i = 3; i < $1; i++)); do
		printf '\t;\n'
	done
	printf '}\n'
}
sizes() { bash tests/lib/sizes.sh "$tmp/x.c"; }
function_of 60 >"$tmp/x.c"
ok "a function of 60 lines passes" sizes
function_of 61 >"$tmp/x.c"
ok "a function of 61 lines is refused" not sizes
printf 'int f(int a, int b, int c, void (*d)(int, int), int e,\n      int g)\n{\n}\n' >"$tmp/x.c"
ok "6 parameters, one of them a function, pass" sizes
printf 'int f(int a, int b, int c, int d, int e,\n      int g, int h)\n{\n}\n' >"$tmp/x.c"
ok "7 parameters are refused" not sizes
printf '__attribute__((format(printf, 2, 3))) void f(int a, const char *b, ...)\n{\n}\n' >"$tmp/x.c"
ok "an attribute's arguments are not parameters" sizes
printf '\n%.0s' {1..601} >"$tmp/x.c"
ok "a file of 601 lines is refused" not sizes
printf '/* %s: later */\n' 'TO''DO' >"$tmp/x.c"
ok "a mark of unfinished work is refused" not sizes

echo "1..$count"
exit $failed
