#!/bin/bash
# fuzz.sh BINARY: runs one fuzzer (f_NAME) for FUZZ_SECONDS over tests/fuzz/corpus/NAME. What it
# finds new is kept under build/fuzz/found/NAME for the next run; a crash is saved under
# build/fuzz/crash and belongs into the corpus, with the fix.
set -euo pipefail
cd "$(dirname "$0")/../.."
name=$(basename "$1")
name=${name#f_}
corpus=tests/fuzz/corpus/$name found=build/fuzz/found/$name crash=build/fuzz/crash
mkdir -p "$found" "$crash"
if [ -z "$(ls -A "$corpus" 2>/dev/null)" ]; then
	echo "fuzz: $name has no corpus in $corpus" >&2
	exit 1
fi
if ! "$1" -max_total_time="${FUZZ_SECONDS:-60}" -timeout=10 -rss_limit_mb=2048 \
	-artifact_prefix="$crash/$name-" "$found" "$corpus" >"$found.log" 2>&1; then
	tail -n 40 "$found.log" >&2
	echo "fuzz: $name failed, see $found.log and $crash" >&2
	exit 1
fi
echo "fuzz: $name clean: $(grep -E '^Done ' "$found.log")"
