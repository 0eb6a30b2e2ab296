#!/bin/bash
# deps.sh [GROUP...]: installs what the project needs on Debian 12 or 13. Groups are those of
# packages.txt; without one: build, runtime, test. Run by `make deps`; safe to repeat.
#
# As root, or with a sudo that asks nothing, missing packages are installed; otherwise they are
# named with the line that installs them. What Debian 12 has too old is built by sources.sh, which
# needs no privilege.
set -euo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
groups=("${@:-build}")
[ $# -gt 0 ] || groups=(build runtime test)
out=build/deps
stamp=$out/stamp/$(IFS=-; echo "${groups[*]}")

# All is there as long as neither our lists nor the package database changed.
fingerprint() {
	stat -c '%n %s %y' .ci/deps.sh .ci/sources.sh .ci/packages.txt .ci/sources.txt \
		/var/lib/dpkg/status
	echo "$PWD"
}

say() { echo "deps: $*"; }
die() { echo "deps: $*" >&2; exit 1; }

now=$(fingerprint 2>/dev/null) || die "this is no Debian system (no /var/lib/dpkg/status);" \
	"install the equivalents of the packages in .ci/packages.txt by hand"
if [ -r "$stamp" ] && [ "$now" = "$(<"$stamp")" ]; then
	exit 0
fi
mkdir -p "$out/stamp" "$out/log" || die "cannot write $PWD/$out as user $(id -u)"
exec 9>"$out/lock"
flock 9

# wanted GROUP: its packages, but for those whose work an existing file already does
wanted() {
	local group package file
	while read -r group package file; do
		[ "$group" = "$1" ] || continue
		[ -n "$file" ] && [ -e "$file" ] || echo "$package"
	done <.ci/packages.txt
}

# missing PACKAGE...: those that are not installed
missing() {
	[ $# -gt 0 ] || return 0
	dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null |
		sed -n 's/^installed //p' | sort -u | comm -13 - <(printf '%s\n' "$@" | sort -u)
}

sudo=
can_install() {
	[ "$(id -u)" = 0 ] && return 0
	command -v sudo >/dev/null && sudo -n true 2>/dev/null || return 1
	sudo="sudo -n DEBIAN_FRONTEND=noninteractive"
}

refreshed=
refresh() {
	[ -z "$refreshed" ] || return 0
	refreshed=1
	say "reading the package lists"
	$sudo apt-get update >"$out/log/apt-update" 2>&1 ||
		die "apt-get update failed, see $out/log/apt-update"
}

install_missing() {
	local list
	mapfile -t list < <(missing "$@")
	[ ${#list[@]} -gt 0 ] || return 0
	if ! can_install; then
		echo "deps: missing packages: ${list[*]}" >&2
		die "as root: apt-get update && apt-get install -y --no-install-recommends ${list[*]}"
	fi
	refresh
	say "installing ${list[*]}"
	$sudo apt-get install -y --no-install-recommends "${list[@]}" \
		>"$out/log/apt-install" 2>&1 ||
		die "apt-get install failed, see $out/log/apt-install"
}

# offered PACKAGE: the version apt would install. Without package lists (a fresh container, an
# ordinary user) Debian's release number tells what it must be.
offered() {
	local v
	v=$(apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p')
	if [ -z "$v" ] || [ "$v" = "(none)" ]; then
		. /etc/os-release
		[ "${ID:-}" = debian ] && [ "${VERSION_ID:-0}" -ge 13 ] && v=999
	fi
	echo "${v:-0}"
}

# Splits sources.txt into `by_apt` (packages) and `to_build` (names).
by_apt=() to_build=()
choose() {
	local kind name package minimum have
	while read -r kind name package minimum _; do
		[ "$kind" = package ] || continue
		have=$(dpkg-query -W -f '${Version}' "$package" 2>/dev/null) || have=
		if dpkg --compare-versions "${have:-0}" ge "$minimum"; then
			continue
		elif dpkg --compare-versions "$(offered "$package")" ge "$minimum"; then
			by_apt+=("$package")
		else
			to_build+=("$name")
		fi
	done <.ci/sources.txt
}

packages=()
for g in "${groups[@]}"; do
	grep -q "^$g " .ci/packages.txt || die "no such group in .ci/packages.txt: $g"
	mapfile -t -O ${#packages[@]} packages < <(wanted "$g")
done
if [[ " ${groups[*]} " == *" build "* ]]; then
	[ -z "$(missing "${packages[@]}")" ] || ! can_install || refresh
	choose
	packages+=("${by_apt[@]}")
	[ ${#to_build[@]} -eq 0 ] || mapfile -t -O ${#packages[@]} packages < <(wanted sources)
fi
install_missing "${packages[@]}"
if [ ${#to_build[@]} -gt 0 ]; then
	# an early Debian 12 has a keyring without Debian 13's keys; its update brings them
	if [ ! -e /usr/share/keyrings/debian-archive-trixie-stable.gpg ] && can_install; then
		refresh
		$sudo apt-get install -y debian-archive-keyring >"$out/log/keyring" 2>&1 || true
	fi
	bash .ci/sources.sh "${to_build[@]}"
fi
fingerprint >"$stamp"
say "all there (${groups[*]})"
