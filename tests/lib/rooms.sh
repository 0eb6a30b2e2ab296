#!/bin/bash
# rooms.sh BUILD [RULES]: fails when an object under BUILD references a symbol its room may not.
# The rules are in tests/rooms.txt. Places are checked against the source tree beside the rules, so
# that a renamed room does not lose its rule.
set -euo pipefail
build=${1%/}
rules=${2:-$(dirname "$0")/../rooms.txt}

mapfile -d '' objects < <(find "$build/mcp" "$build/tools" "$build/sandbox" -name '*.o' \
	-print0 2>/dev/null)
if [ ${#objects[@]} -eq 0 ]; then
	echo "rooms: no objects under $build" >&2
	exit 2
fi

while read -r _ places _; do
	for place in ${places//,/ }; do
		[ "$place" = nobody ] || [ -e "$build/$place" ] || [ -e "$build/$place.o" ] || {
			echo "rooms: $rules names $place, which has no objects" >&2
			exit 2
		}
	done
done < <(grep -E '^(only|deny) ' "$rules")

nm -A -u "${objects[@]}" | awk -v build="$build/" -v rules="$rules" '
function pattern(glob) { gsub(/\*/, ".*", glob); return "^" glob "$" }
function within(object, places,    n, list, i) {
	n = split(places, list, ",")
	for (i = 1; i <= n; i++)
		if (index(object, list[i] "/") == 1 || object == list[i] ".o")
			return 1
	return 0
}
BEGIN {
	while ((getline line < rules) > 0) {
		n = split(line, w, /[ \t]+/)
		if (w[1] != "only" && w[1] != "deny")
			continue
		for (i = 3; i <= n; i++)
			if (w[i] != "") {
				kind[++rows] = w[1]; place[rows] = w[2]; match_[rows] = pattern(w[i])
			}
	}
}
{
	object = substr($1, length(build) + 1)
	sub(/:$/, "", object)
	symbol = $NF
	sub(/@.*/, "", symbol)
	if (symbol ~ /^__.*_chk$/) { sub(/^__/, "", symbol); sub(/_chk$/, "", symbol) }
	sub(/^__open(at)?(64)?_2$/, "open", symbol)
	sub(/^__isoc[0-9]+_/, "", symbol)
	if (symbol ~ /^(open|openat|creat|fopen|stat|fstat|lstat|pread|pwrite|mmap)64$/)
		sub(/64$/, "", symbol)
	for (r = 1; r <= rows; r++)
		if (symbol ~ match_[r] && within(object, place[r]) == (kind[r] == "deny")) {
			print "rooms: " object " may not reference " symbol
			bad = 1
			break
		}
}
END { exit bad }'
