#!/bin/bash
# sizes.sh FILE...: fails on a function of more than 60 lines (signature to closing brace) or more
# than 6 parameters (a callback's are for its library to choose), a file of more than 600 lines, or a
# word that marks unfinished work.
# The functions are found by the house style: a brace in column 1 opens one and another closes it.
set -euo pipefail
status=0

awk '
function complain(what) { print FILENAME ":" start ": " what; bad = 1 }
# commas at the first level of the parameter list; "..." is not counted
function parameters(s,    i, c, depth, n) {
	gsub(/__attribute__ *\(\([^;{]*\)\)\)?/, "", s)
	sub(/^[^(]*\(/, "", s)
	if (s ~ /^ *(void)? *\)/)
		return 0
	n = 1
	for (i = 1; i <= length(s) && depth >= 0; i++) {
		c = substr(s, i, 1)
		if (c == "(") depth++
		else if (c == ")") depth--
		else if (c == "," && depth == 0) n++
	}
	return s ~ /, *\.\.\.\)/ ? n - 1 : n
}
FNR == 1 { lines = 0; inside = 0; signature = "" }
FNR == 601 { start = FNR; complain("a file of more than 600 lines") }
FILENAME !~ /\.c$/ { next }
/^[A-Za-z_]/ && !inside {
	start = FNR; signature = $0
	next
}
/^\{/ && !inside && signature ~ /\(/ {
	inside = 1
	if (parameters(signature) > 6 && signature !~ /\(nghttp2_session /)
		complain("a function of " parameters(signature) " parameters (6 at most)")
	next
}
/^\}/ && inside {
	if (FNR - start + 1 > 60)
		complain("a function of " FNR - start + 1 " lines (60 at most)")
	inside = 0; signature = ""
	next
}
!inside { signature = signature " " $0 }
END { exit bad }' "$@" || status=1

if grep -nwE 'TO''DO|FIX''ME|X''XX' "$@"; then
	echo "sizes: unfinished work goes into an issue, not into the tree"
	status=1
fi
exit $status
