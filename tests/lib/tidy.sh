#!/bin/bash
# tidy.sh FLAG... -- FILE: clang-tidy on one file; silent but for its findings (it counts suppressed
# warnings of system headers on stderr, which is shown only when it fails).
set -uo pipefail
file=${!#}
flags=("${@:1:$#-2}")
if ! said=$(clang-tidy --quiet "$file" -- "${flags[@]}" 2>&1); then
	printf '%s\n' "$said" | grep -v 'warnings\? generated' >&2
	exit 1
fi
