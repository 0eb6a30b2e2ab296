#!/bin/bash
# sources.sh NAME...: builds pinned source packages of Debian 13 (sources.txt) into build/deps.
#
# Theory of operation: apt reads Debian 13's source index from this machine's own mirror through a
# sources list and a state folder of ours, so nothing of the system's apt changes and no privilege
# is needed. The index is signed (debian-archive-keyring) and states the checksum of every file;
# sources.txt pins them too, so neither a mirror nor a new upload can change what is built. The .dsc
# is written from those pins instead of downloaded: it says nothing they do not say, and
# dpkg-source then unpacks and applies debian/patches. Each step is skipped when it was done before.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C
out=$PWD/build/deps
suite=trixie
work=$out/src log=$out/log apt=$out/apt
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
jobs=$(getconf _NPROCESSORS_ONLN)
mkdir -p "$work" "$log" "$apt"/{lists/partial,cache/archives/partial,list.d}

say() { echo "deps: $*"; }
die() { echo "deps: $*" >&2; exit 1; }

# step NAME COMMAND...: output into the log; on failure its end is shown
step() {
	local to=$log/$1
	shift
	if ! "$@" >"$to" 2>&1 </dev/null; then
		tail -n 20 "$to" >&2
		die "failed: $* (all of it: $to)"
	fi
}

# row NAME FIELD: a column of sources.txt (4 minimum, 5 pinned version)
row() { awk -v n="$1" -v f="$2" '$1 == "package" && $2 == n { print $f }' .ci/sources.txt; }
# files NAME: "file sha256" lines of a package
files() { awk -v n="$1" '$1 == "package" { on = $2 == n } $1 == "file" && on { print $2, $3 }' \
	.ci/sources.txt; }

# --- where Debian 13's sources are --------------------------------------------------------------

# The mirror is what apt itself makes of its sources, in whichever format they are written.
# shellcheck disable=SC2016 # apt fills these in
mirrors() {
	apt-get indextargets 'Created-By: Packages' \
		--format '$(COMPONENT) $(RELEASE) $(ORIGIN) $(REPO_URI)' | sort -u
}

write_sources() {
	local here main security
	here=$(. /etc/os-release; echo "${VERSION_CODENAME:-}")
	# Debian's own before another's archive for the same release; the key decides in the end
	main=$(mirrors | awk -v c="$here" '$1 == "main" && $NF !~ /^cdrom:/ &&
		($2 == c || $2 == "stable" || $2 == "oldstable") {
			print ($3 == "Debian" ? 0 : $NF ~ /\/debian\/$/ ? 1 : 2), $NF }' |
		sort | awk 'NR == 1 { print $2 }')
	[ -n "$main" ] || die "no Debian mirror for '$here' in this machine's apt sources"
	security=$(mirrors | awk '$1 == "main" && $2 ~ /-security$/ { print $NF; exit }')
	# a machine without the security archive: where a mirror holds both, they are neighbours
	[ -n "$security" ] || [[ $main != */debian/ ]] || security=${main%/debian/}/debian-security/
	{
		printf 'Types: deb-src\nURIs: %s\nSuites: %s %s-updates\nComponents: main\n' \
			"$main" $suite $suite
		printf 'Signed-By: %s\n' "$keyring"
		[ -z "$security" ] ||
			printf '\nTypes: deb-src\nURIs: %s\nSuites: %s-security\n%s\nSigned-By: %s\n' \
				"$security" $suite "Components: main" "$keyring"
	} >"$apt/list.d/$suite.sources"
}

# OPTIONS for apt: our list and state only, signatures always checked
apt_opts=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt/list.d"
	-o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache"
	-o Acquire::Languages=none -o Acquire::AllowInsecureRepositories=false
	-o APT::Get::AllowUnauthenticated=false)

need_keys() {
	[ -e /usr/share/keyrings/debian-archive-$suite-stable.gpg ] ||
		die "this debian-archive-keyring does not know Debian 13's keys; as root:" \
			"apt-get update && apt-get install -y debian-archive-keyring"
}

indexed=
index() {
	[ -z "$indexed" ] || return 0
	need_keys
	write_sources
	say "reading Debian 13's source index"
	# A part that is not there (no security archive) is no failure: what counts is whether the
	# pinned files can be had, and those are checked.
	apt-get "${apt_opts[@]}" update >"$log/index" 2>&1 || true
	indexed=1
}

# --- fetching -----------------------------------------------------------------------------------

versions() {
	apt-cache "${apt_opts[@]}" showsrc "$1" 2>/dev/null |
		awk -v n="$1" '/^Package: / { on = $2 == n } on && /^Version: / { print $2 }' | sort -Vru
}

# have NAME: every pinned file is here and is the pinned one; a wrong one is removed
have() {
	local file sum all=0
	while read -r file sum; do
		if ! echo "$sum  $work/$file" | sha256sum --status -c 2>/dev/null; then
			rm -f "$work/$file"
			all=1
		fi
	done < <(files "$1")
	return $all
}

# The pinned version first; then others that share its upstream tarball, for a mirror that holds it
# only there.
fetch() {
	local name=$1 pin v
	pin=$(row "$name" 5)
	have "$name" && return 0
	index
	say "fetching $name $pin"
	: >"$log/$name.fetch"
	for v in "$pin" $(versions "$name"); do
		[ "${v%-*}" = "${pin%-*}" ] || continue
		(cd "$work" && apt-get "${apt_opts[@]}" source --download-only --only-source \
			"$name=$v") >>"$log/$name.fetch" 2>&1 </dev/null || true
		have "$name" && return 0
	done
	v=$(versions "$name" | tr '\n' ' ')
	if [[ " $v " != *" $pin "* ]]; then
		die "the mirror no longer has $name $pin; it has: ${v:-nothing}." \
			"Move the pin in .ci/sources.txt (its head says how)."
	fi
	die "cannot fetch $name $pin as pinned, see $log/$name.fetch"
}

# --- unpacking and building ---------------------------------------------------------------------

dsc() {
	local file sum
	printf 'Format: 3.0 (quilt)\nSource: %s\nVersion: %s\n' "$1" "$(row "$1" 5)"
	for kind in Checksums-Sha256:sha256sum Files:md5sum; do
		echo "${kind%:*}:"
		while read -r file sum; do
			sum=$("${kind#*:}" <"$work/$file")
			echo " ${sum%% *} $(stat -c %s "$work/$file") $file"
		done < <(files "$1")
	done
}

unpack() {
	dsc "$1" >"$work/$1.dsc"
	rm -rf "${work:?}/$1" "$work/$1.build"
	step "$1.unpack" dpkg-source --no-copy -x "$work/$1.dsc" "$work/$1"
}

# Debian's hardening, with what it leaves to the package
flags() {
	export DEB_BUILD_MAINT_OPTIONS=hardening=+all
	CFLAGS="$(dpkg-buildflags --get CFLAGS) $(dpkg-buildflags --get CPPFLAGS)"
	CFLAGS+=" -fstack-clash-protection -ffile-prefix-map=$work=."
	[ "$(dpkg --print-architecture)" != amd64 ] || CFLAGS+=" -fcf-protection"
	LDFLAGS=$(dpkg-buildflags --get LDFLAGS)
	export CFLAGS LDFLAGS
}

cmake_build() {
	local name=$1
	shift
	step "$name.configure" cmake -S "$work/$name" -B "$work/$name.build" -G Ninja \
		-DCMAKE_BUILD_TYPE=None -DCMAKE_INSTALL_PREFIX="$out" -DCMAKE_INSTALL_LIBDIR=lib \
		-DCMAKE_POSITION_INDEPENDENT_CODE=ON -DCMAKE_C_FLAGS="$CFLAGS" "$@"
	step "$name.build" ninja -C "$work/$name.build" -j "$jobs"
	step "$name.install" ninja -C "$work/$name.build" install
}

build_bubblewrap() {
	step bubblewrap.configure meson setup "$work/bubblewrap.build" "$work/bubblewrap" \
		--prefix "$out" --buildtype plain -Dman=disabled -Dtests=false -Dselinux=disabled \
		-Dbash_completion=disabled -Dzsh_completion=disabled
	step bubblewrap.build ninja -C "$work/bubblewrap.build" -j "$jobs"
	step bubblewrap.install ninja -C "$work/bubblewrap.build" install
}

# Threads as in Debian's own build: the same library on both releases
build_mbedtls() {
	local option
	for option in THREADING_C THREADING_PTHREAD CMAC_C; do
		step mbedtls.config python3 "$work/mbedtls/scripts/config.py" \
			-f "$work/mbedtls/include/mbedtls/mbedtls_config.h" set MBEDTLS_$option
	done
	cmake_build mbedtls -DGEN_FILES=OFF -DENABLE_PROGRAMS=OFF -DENABLE_TESTING=OFF \
		-DUSE_STATIC_MBEDTLS_LIBRARY=ON -DUSE_SHARED_MBEDTLS_LIBRARY=OFF \
		-DMBEDTLS_FATAL_WARNINGS=OFF
}

# --- what was built, checked --------------------------------------------------------------------

check_bubblewrap() { "$out/bin/bwrap" --version; }

check_library() {	# PKG-CONFIG-NAME EXPRESSION INCLUDE...
	local pc=$1 expr=$2
	shift 2
	{
		printf '#include <%s>\n' stdio.h "$@"
		printf 'int main(void) { puts(%s); return 0; }\n' "$expr"
	} >"$work/check.c"
	export PKG_CONFIG_PATH=$out/lib/pkgconfig
	# shellcheck disable=SC2046,SC2086 # lists of words, both
	cc -o "$work/check" "$work/check.c" $(pkg-config --static --cflags --libs $pc) &&
		"$work/check"
}
check_mbedtls() { check_library mbedtls MBEDTLS_VERSION_STRING_FULL \
	mbedtls/version.h mbedtls/ssl.h; }

# The tree may be moved or copied: .pc files find themselves.
relocatable() {
	find "$out/lib/pkgconfig" -name '*.pc' -exec \
		sed -i "s|^prefix=.*|prefix=\${pcfiledir}/../..|; s|$out|\${prefix}|g" {} + 2>/dev/null ||
		true
}

build() {
	local name=$1 done=$out/stamp/built-$1 key t=$SECONDS upstream
	key=$(files "$name"; cat .ci/sources.sh)
	[ -r "$done" ] && [ "$key" = "$(<"$done")" ] && return 0
	fetch "$name"
	say "building $name $(row "$name" 5)"
	unpack "$name"
	"build_$name"
	relocatable
	step "$name.check" "check_$name"
	upstream=$(row "$name" 5)
	grep -qF "${upstream%-*}" "$log/$name.check" ||
		die "$name says it is '$(cat "$log/$name.check")', not ${upstream%-*}"
	rm -rf "$work/$name.build"
	echo "$key" >"$done"
	say "built $name in $((SECONDS - t)) s"
}

mkdir -p "$out/stamp"
flags
for name in "$@"; do
	build "$name"
done
