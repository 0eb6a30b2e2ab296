#!/bin/bash
# Runs guest_tests.py in a qemu guest: Debian with systemd and cgroup v2 alone, which the machine
# the other tests run on may not have. Prints TAP, ends with "N passed, N failed".
#
#	VM_DIR       where the image is kept (build/vm); made when missing or out of date
#	FUMEHOOD     the binary (build/fumehood)
#	VM_TIMEOUT   seconds for the guest from power-on to power-off (600)
#	MUST_RUN=1   what cannot run is a failure, not a skip
set -euo pipefail

cd "$(dirname "$0")/../.."
vm=${VM_DIR:-build/vm}
binary=${FUMEHOOD:-build/fumehood}

cannot()
{
	echo "1..0 # SKIP $*"
	if [ "${MUST_RUN:-}" = 1 ]; then
		echo "0 passed, 1 failed"
		exit 1
	fi
	echo "0 passed, 0 failed"
	exit 0
}

# --- what this machine must have ------------------------------------------------------------------
missing=()
need()
{
	command -v "$1" > /dev/null || missing+=("$2")
}
PATH=$PATH:/usr/sbin:/sbin
need qemu-system-x86_64 qemu-system-x86
need debootstrap debootstrap
need mkfs.ext4 e2fsprogs
need openssl openssl
if [ ${#missing[@]} -gt 0 ]; then
	install="apt-get install -y --no-install-recommends ${missing[*]}"
	[ "$(id -u)" = 0 ] || cannot "missing packages: sudo $install"
	{ apt-get update -q && $install; } >&2 || cannot "this failed: $install"
fi
[ -x "$binary" ] || cannot "$binary is not there: run make first"

# --- the image, made once -------------------------------------------------------------------------
mkdir -p "$vm" 2> /dev/null || true
[ -w "$vm" ] || cannot "$vm belongs to another user: set VM_DIR"
exec 9> "$vm/lock"
flock 9
# the release is in the key: the binary is linked against this machine's libraries
key=$(cat tests/vm/image.sh /etc/os-release | sha256sum | cut -d' ' -f1)
if [ "$(cat "$vm/key" 2> /dev/null)" != "$key" ]; then
	[ "$(. /etc/os-release && echo "$ID")" = debian ] ||
		cannot "the guest is made by debootstrap from this machine's Debian release"
	[ "$(id -u)" = 0 ] || cannot "the image is made by root, once: sudo tests/vm/run.sh"
	echo "# making $vm/root.img (about a minute; log: $vm/image.log)"
	rm -f "$vm/key"
	if ! tests/vm/image.sh "$vm" > "$vm/image.log" 2>&1; then
		# the package lists of this machine may be older than the mirror
		apt-get update -q > "$vm/image.log" 2>&1 || true
		tests/vm/image.sh "$vm" >> "$vm/image.log" 2>&1 || {
			tail -20 "$vm/image.log" | sed 's/^/# /'
			cannot "the image could not be made"
		}
	fi
	echo "$key" > "$vm/key"
fi
exec 9>&-

# --- the payload, made at each run ----------------------------------------------------------------
run=$(mktemp -d "$vm/run.XXXXXX")
trap 'rm -rf "$run"' EXIT
mkdir -p "$run/payload/build/deps/bin" "$run/payload/tests/vm" "$run/payload/tests/lib"
install -m 755 "$binary" "$run/payload/build/fumehood"
if [ -x build/deps/bin/bwrap ]; then
	install -m 755 build/deps/bin/bwrap "$run/payload/build/deps/bin/bwrap"
fi
install -m 644 tests/vm/*.py "$run/payload/tests/vm/"
if compgen -G 'tests/lib/*.py' > /dev/null; then
	install -m 644 tests/lib/*.py "$run/payload/tests/lib/"
fi
# as a user would have it: -o, because what is tested is this binary, however it was built
make -s -o "$(realpath "$binary")" BIN="$(realpath "$binary")" DESTDIR="$run/payload/install" install
mkdir -p "$run/payload/examples" "$run/payload/tls"
cp -r examples/systemd "$run/payload/examples/"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 \
	-subj /CN=fumehood.example.com -addext subjectAltName=DNS:fumehood.example.com \
	-keyout "$run/payload/tls/tls.key" -out "$run/payload/tls/tls.crt" 2> "$run/openssl.log"
chmod 755 "$run" "$run/payload"
size=$(($(du -sm "$run/payload" | cut -f1) * 5 / 4 + 8))
mkfs.ext4 -q -F -O ^has_journal -L payload -d "$run/payload" "$run/payload.img" "${size}M" \
	> "$run/mkfs.log"

# --- the guest ------------------------------------------------------------------------------------
# /dev/kvm without the processor's extension can be opened and then hangs, so it alone proves nothing
accel=tcg,thread=multi
if grep -qwE 'vmx|svm' /proc/cpuinfo && [ -w /dev/kvm ]; then
	accel=kvm
fi
console=$vm/console.log
tap=$vm/guest.tap
echo "# guest starts (accel $accel, console in $console)"
started=$SECONDS
status=0
# --foreground: Ctrl-C reaches qemu too
timeout --foreground --signal=KILL "${VM_TIMEOUT:-600}" qemu-system-x86_64 \
	-accel "$accel" -machine q35 -cpu max -smp 2 -m 1024 \
	-display none -nodefaults -no-reboot \
	-kernel "$vm/vmlinuz" \
	-append "console=ttyS0 panic=-1 root=/dev/nvme0n1 rw systemd.getty_auto=0" \
	-drive "if=none,id=root,file=$vm/root.img,format=raw,snapshot=on" \
	-device nvme,drive=root,serial=root \
	-drive "if=none,id=payload,file=$run/payload.img,format=raw,readonly=on" \
	-device nvme,drive=payload,serial=payload \
	-serial "file:$console" -serial stdio < /dev/null |
	stdbuf -oL tr -d '\r' | tee "$tap" || status=$?
echo "# guest ran for $((SECONDS - started)) s"

count()
{
	grep -cE "$1" "$tap" || true
}
passed=$(count '^ok [0-9]')
failed=$(count '^not ok [0-9]')
skipped=$(count '^ok [0-9]+ .*# SKIP')
passed=$((passed - skipped))
if [ "${MUST_RUN:-}" = 1 ]; then
	failed=$((failed + skipped))
fi
plan=$(sed -n 's/^1\.\.\([0-9]*\)$/\1/p' "$tap" | head -1)
if [ "$status" != 0 ] || [ "${plan:-none}" != "$(count '^(not )?ok [0-9]')" ]; then
	echo "# the guest did not finish (status $status, plan ${plan:-missing}); its console ends:"
	tail -25 "$console" | tr -d '\r' | sed 's/^/# /'
	failed=$((failed + 1))
fi
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
