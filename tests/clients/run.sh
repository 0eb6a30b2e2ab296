#!/bin/sh
# run.sh [CLIENT...]: real MCP clients, each from its lock file, against `$FUMEHOOD stdio`.
#
#   FUMEHOOD=PATH    the binary (build/fumehood)
#   MUST_RUN=1       a client that cannot be installed is a failure, not a skip
#   PYTHON=PATH      for the Python SDK (/usr/bin/python3, 3.10 or newer)
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
unset XDG_STATE_HOME XDG_CONFIG_HOME

passed=0 failed=0 skipped=0

# Copies the files of a client, removing tests of an earlier time.
copy() {
	mkdir -p "$work/$1"
	find "$work/$1" -maxdepth 1 -type f ! -name .installed -delete
	cp "$root/tests/clients/$1"/* "$work/$1/"
}

# Runs the installer in the client's folder unless the lock file is the one installed last.
once_per_lock() {
	lock=$1
	shift
	sum=$(sha256sum <"$lock")
	if [ "$(cat .installed 2>/dev/null)" != "$sum" ]; then
		"$@" >install.log 2>&1 || return 1
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

install() {
	if [ -f package-lock.json ]; then
		once_per_lock package-lock.json npm ci --ignore-scripts --no-audit --no-fund
	elif [ -f requirements.txt ]; then
		python=${PYTHON:-/usr/bin/python3}
		once_per_lock requirements.txt python_packages || return 1
		[ -d venv ] && PATH=$PWD/venv/bin:$PATH && return
		mkdir -p bin && ln -sf "$python" bin/python
		PATH=$PWD/bin:$PATH PYTHONPATH=$PWD/site
		export PYTHONPATH
	fi
}

run_test() {
	case $1 in
	*.mjs) node "$1" ;;
	*.py) python "$1" ;;
	*.sh) sh "$1" ;;
	esac
}

# Counts the TAP of one test program; one that ends before its plan is fulfilled has failed.
tally() {
	ok=$(grep -c '^ok ' "$1")
	bad=$(grep -c '^not ok ' "$1")
	plan=$(sed -n 's/^1\.\.//p' "$1")
	if [ "${plan:-0}" -ne $((ok + bad)) ] || [ "$ok$bad" = 00 ]; then
		echo "not ok - $2 ended before its time"
		bad=$((bad + 1))
	fi
	passed=$((passed + ok))
	failed=$((failed + bad))
}

not_installed() {
	if [ "${MUST_RUN:-0}" = 1 ]; then
		echo "not ok - $1 could not be installed"
		failed=$((failed + 1))
	else
		echo "ok - $1 # SKIP could not be installed"
		skipped=$((skipped + 1))
	fi
	sed 's/^/# /' "$work/$1/install.log" 2>/dev/null | tail -n 15
}

run_client() {
	copy "$1"
	cd "$work/$1" || exit 1
	saved=$PATH
	if install; then
		for file in t_*; do
			run_test "$file" 2>&1 | tee "$TMPDIR/tap"
			tally "$TMPDIR/tap" "$1/$file"
		done
	else
		not_installed "$1"
	fi
	PATH=$saved
	unset PYTHONPATH
}

if [ ! -x "$FUMEHOOD" ]; then
	echo "run.sh: no server at $FUMEHOOD: run make, or set FUMEHOOD" >&2
	exit 1
fi
copy lib
copy node
if (cd "$work/node" && install); then
	PATH=$(dirname "$work"/node/node_modules/node-linux-*/bin/node):$PATH
else
	not_installed node
fi
[ $# -gt 0 ] || set -- ts_sdk_v1 ts_sdk_v2 python_sdk inspector claude_code gemini codex
for name in "$@"; do
	run_client "$name"
done
printf '%s passed, %s failed' "$passed" "$failed"
[ "$skipped" -eq 0 ] || printf ', %s skipped' "$skipped"
echo
[ "$failed" -eq 0 ]
