#!/bin/bash
# run.sh [CLIENT...]: real MCP clients, each from its lock file, against `$FUMEHOOD stdio` and
# `$FUMEHOOD serve`; three clients at a time: they mostly wait.
#
#   FUMEHOOD=PATH    the binary (build/fumehood)
#   MUST_RUN=1       a client that cannot be installed is a failure, not a skip
#   PYTHON=PATH      for the Python clients (/usr/bin/python3, 3.11 or newer)
#   INSTALL_ONLY=1   installs them and runs nothing
#   VERBOSE=1        also shows how long each client took, and what the clients show a model
#
# Each client is a folder: package.json and package-lock.json, or requirements.txt with hashes,
# and its tests, t_*. They are installed, copied to and run in build/clients/; only npm and
# python3 must be there. The Node.js the tests run on is a package too (node/).
set -u
cd "$(dirname "$0")/../.." || exit 1
root=$PWD
FUMEHOOD=$(realpath -m "${FUMEHOOD:-build/fumehood}")
EXAMPLES=$root/examples
work=$root/build/clients
TMPDIR=$(mktemp -d)
export FUMEHOOD EXAMPLES TMPDIR
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 130' INT TERM

# What the caller has set must not reach the servers under test.
unset XDG_STATE_HOME XDG_CONFIG_HOME FUMEHOOD_STATE FUMEHOOD_CONFIG FUMEHOOD_KEY FUMEHOOD_LISTEN

# longest first, so that the two ends of the queue end together
all="ts_sdk_v2 ts_sdk_v1 inspector python_sdk gemini claude_code inspector_v1 codex
opencode pydantic_ai langchain_python openai_agents fastmcp vercel_ai langchain_js"
together=3

# Copies the files of a client, removing tests of an earlier time.
copy() {
	mkdir -p "$work/$1"
	find "$work/$1" -maxdepth 1 -type f ! -name .installed -delete
	cp "$root/tests/clients/$1"/* "$work/$1/"
}

# Runs the installer in the client's folder unless the lock file is the one installed last.
once_per_lock() {
	local lock=$1 sum
	shift
	sum=$(sha256sum <"$lock")
	if [ "$(cat .installed 2>/dev/null)" != "$sum" ]; then
		timeout 300 "$@" >install.log 2>&1 || return 1
		echo "$sum" >.installed
	fi
}

python_packages() {
	rm -rf venv site
	set -- --disable-pip-version-check --require-hashes --only-binary :all: -r requirements.txt
	# without python3-venv: a plain folder of packages
	if "$python" -m venv venv; then
		venv/bin/python -m pip install "$@"
	else
		rm -rf venv
		"$python" -m pip install --target site "$@"
	fi
}
export -f python_packages

install() {
	export python=${PYTHON:-/usr/bin/python3}
	if [ -f package-lock.json ]; then
		once_per_lock package-lock.json npm ci --ignore-scripts --no-audit --no-fund
	elif [ -f requirements.txt ]; then
		once_per_lock requirements.txt bash -c python_packages || return 1
		[ -d venv ] && PATH=$PWD/venv/bin:$PATH && return
		mkdir -p bin && ln -sf "$python" bin/python
		PATH=$PWD/bin:$PATH PYTHONPATH=$PWD/site
		export PYTHONPATH
	fi
}

# A test program that hangs is ended, and what it says then is no whole TAP.
run_test() {
	case $1 in
	*.mjs) set -- node "$1" ;;
	*.py) set -- python "$1" ;;
	*.sh) set -- sh "$1" ;;
	*) set -- false ;;
	esac
	timeout -k 10 300 "$@" </dev/null 2>&1
}

# Counts the TAP of one test program; one that ends before its plan is fulfilled has failed.
tally() {
	local ok bad plan
	ok=$(grep -c '^ok ' "$1")
	bad=$(grep -c '^not ok ' "$1")
	plan=$(sed -n 's/^1\.\.//p' "$1")
	if [ "${plan:-0}" -ne $((ok + bad)) ] || [ "$ok$bad" = 00 ]; then
		echo "not ok - $2 ended before its time"
		bad=$((bad + 1))
	fi
	echo "$ok $bad 0" >>"$TMPDIR/counts"
}

not_installed() {
	if [ "${MUST_RUN:-0}" = 1 ]; then
		echo "not ok - $1 could not be installed"
		echo "0 1 0" >>"$TMPDIR/counts"
	else
		echo "ok - $1 # SKIP could not be installed"
		echo "0 0 1" >>"$TMPDIR/counts"
	fi
	sed 's/^/# /' "$work/$1/install.log" 2>/dev/null | tail -n 15
}

run_client() {
	local began=$SECONDS file
	copy "$1"
	cd "$work/$1" || exit 1
	if ! install; then
		not_installed "$1"
	elif [ -z "${INSTALL_ONLY:-}" ]; then
		for file in t_*; do
			run_test "$file" >"$TMPDIR/$1.tap"
			cat "$TMPDIR/$1.tap"
			tally "$TMPDIR/$1.tap" "$1/$file"
		done
		[ -z "${VERBOSE:-}" ] || echo "# $1 took $((SECONDS - began)) s"
	fi
}

# What passed is one line; what failed is shown with all it said.
show() {
	if [ -n "${VERBOSE:-}" ]; then
		cat
	else
		awk '/^(not )?ok /{failed = /^not/} !/^#/ || failed'
	fi
}

if [ ! -x "$FUMEHOOD" ]; then
	echo "run.sh: no server at $FUMEHOOD: run make, or set FUMEHOOD" >&2
	exit 1
fi
for name in "$@"; do
	if [ ! -d "tests/clients/$name" ]; then
		echo "run.sh: no client $name; there are:" $all >&2
		exit 1
	fi
done
: >"$TMPDIR/counts"
copy lib
copy node
if (cd "$work/node" && install); then
	PATH=$(dirname "$work"/node/node_modules/node-linux-*/bin/node):$PATH
else
	not_installed node
fi
# shellcheck disable=SC2086 # words
[ $# -gt 0 ] || set -- $all
for name in "$@"; do
	while [ "$(jobs -rp | wc -l)" -ge $together ]; do
		wait -n
	done
	# each client's lines stay together
	(
		run_client "$name" >"$TMPDIR/$name.out"
		show <"$TMPDIR/$name.out" | flock "$TMPDIR/counts" cat
	) &
done
wait
awk '{ok += $1; bad += $2; skipped += $3} END {
	printf "%d passed, %d failed", ok, bad
	if (skipped)
		printf ", %d skipped", skipped
	print ""
	exit bad > 0 || ok + skipped == 0
}' "$TMPDIR/counts" || [ -n "${INSTALL_ONLY:-}" ]
