#!/bin/bash
# includes.sh [--picture] [ROOT]: fails on an #include that goes against the direction
# mcp -> tools -> sandbox/* -> sandbox/base, reaches past another room's one public header, or
# brings in a library outside the room that owns it. With --picture it prints who includes whom, for
# graphviz.
set -euo pipefail
picture=
[ "${1:-}" != --picture ] || { picture=1; shift; }
cd "${1:-$(dirname "$0")/../..}"

grep -rnE --include='*.[ch]' '^[[:space:]]*#[[:space:]]*include' mcp tools sandbox |
	awk -F: -v picture=$picture '
function refuse(why) { if (!picture) print file ":" $2 ": includes " name ": " why; bad = !picture }
# the room a path is in: sandbox/launch, mcp/jsonrpc, tools; mcp/main.c is in "mcp"
function room(path,    p, n) {
	n = split(path, p, "/")
	return p[1] == "tools" || n < 3 ? p[1] : p[1] "/" p[2]
}
function level(r) {
	return r == "sandbox/base" ? 0 : r ~ /^sandbox/ ? 2 : r == "tools" ? 3 : r ~ /^mcp/ ? 4 : 1
}
BEGIN {
	owner["nghttp2/nghttp2.h"] = "mcp/http"
	owner["mbedtls"] = "mcp/http mcp/auth"
	owner["psa"] = "mcp/http mcp/auth"
	owner["sqlite3.h"] = "sandbox/ledger"
	owner["seccomp.h"] = "sandbox/launch"
	owner["sched.h"] = "sandbox/launch sandbox/guest"
}
{
	file = $1
	here = room(file)
	line = substr($0, index($0, "include"))
	if (match(line, /[<"][^>"]*[>"]/) == 0)
		next
	name = substr(line, RSTART + 1, RLENGTH - 2)
	if (substr(line, RSTART, 1) == "<") {
		# a header, or all of a folder
		library = name in owner ? name : substr(name, 1, index(name, "/") - 1)
		if (library in owner && index(" " owner[library] " ", " " here " ") == 0)
			refuse("only " owner[library] " may")
		next
	}
	if (name !~ /\//) {
		refuse("written from the root of the tree, please")
		next
	}
	there = name ~ /^schemas\// ? "schemas" : room(name)
	if (here == there)
		next
	edge["\"" here "\" -> \"" there "\""] = 1
	if (level(there) > level(here))
		refuse(there " is above " here)
	else if (level(there) > 1) {
		n = split(there, part, "/")
		if (name != there "/" part[n] ".h")
			refuse("not the public header of " there)
	}
}
END {
	if (picture) {
		print "digraph rooms { rankdir=TB; node [shape=box];"
		for (e in edge)
			print "\t" e ";"
		print "}"
	}
	exit bad
}'
