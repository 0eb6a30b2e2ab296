#!/bin/sh
# Builds the root image of the test guest: image.sh DIR -> DIR/root.img, DIR/vmlinuz
#
# A small Debian of the same release as this machine (so that a binary linked here runs there)
# with a real systemd: one unified cgroup hierarchy, a system manager, a manager for each user.
# The kernel is Debian's cloud kernel; nvme and ext4 are built into it, so there is no initrd.
# Needs root (debootstrap). Nothing is mounted on this machine: debootstrap gets a mount namespace
# of its own, and the file system is filled by mkfs.ext4 -d.
set -eu

dir=$1
work=$dir/work
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

if [ -z "${IMAGE_NAMESPACE:-}" ]; then
	mkdir -p "$dir"
	IMAGE_NAMESPACE=1 exec unshare --mount --propagation private -- "$0" "$@"
fi

. /etc/os-release
mirror=$(apt-get indextargets --format '$(CODENAME) $(COMPONENT) $(REPO_URI)' \
	'Created-By: Packages' |
	awk -v c="$VERSION_CODENAME" '$1 == c && $2 == "main" { print $3; exit }')
[ -n "$mirror" ] || {
	echo "image.sh: apt has no source for $VERSION_CODENAME main" >&2
	exit 1
}

clean()
{
	# never walk into a file system mounted by an interrupted debootstrap
	rm -rf --one-file-system "$work"
}
trap clean EXIT
trap 'exit 1' INT TERM
clean
mkdir -p "$work"

packages=systemd,systemd-sysv,udev,dbus,dbus-user-session,libpam-systemd,kmod,procps
packages=$packages,python3,bubblewrap,libcap2,libselinux1,strace
packages=$packages,libcjson1,libseccomp2,libsqlite3-0,libsodium23,libnghttp2-14
debootstrap --variant=minbase --merged-usr --include=$packages \
	"$VERSION_CODENAME" "$work/root" "$mirror"

# the kernel by hand: its package would bring, and run, the tools that make an initrd
kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ { print $2; exit }')
(cd "$work" && apt-get download -q -o APT::Sandbox::User=root "$kernel")
dpkg-deb -x "$work/$kernel"_*.deb "$work/kernel"
for m in "$work"/kernel/lib/modules/* "$work"/kernel/usr/lib/modules/*; do
	[ -d "$m" ] || continue
	cp -a "$m" "$work/root/usr/lib/modules.new"
	mkdir -p "$work/root/usr/lib/modules"
	mv "$work/root/usr/lib/modules.new" "$work/root/usr/lib/modules/${m##*/}"
	chroot "$work/root" depmod "${m##*/}"
done

root=$work/root
chroot "$root" systemd-machine-id-setup # else each boot is a first boot, with its presets
echo guest > "$root/etc/hostname"
echo '127.0.0.1 localhost guest fumehood.example.com' > "$root/etc/hosts"
chroot "$root" useradd --create-home --shell /bin/bash alice
chroot "$root" useradd --create-home --shell /bin/bash bob
mkdir -p "$root/payload"
echo 'LABEL=payload /payload ext4 ro 0 0' > "$root/etc/fstab"
rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/* \
	"$root"/usr/share/locale/* "$root"/usr/share/man/*
# a guest that lives a minute needs no housekeeping and no log-in prompt
chroot "$root" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer \
	dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
	getty@tty1.service systemd-pstore.service systemd-journal-flush.service
cat > "$root/etc/systemd/system/guest-tests.service" <<'UNIT'
[Unit]
Description=The tests on the payload disk
RequiresMountsFor=/payload
After=systemd-logind.service systemd-user-sessions.service dbus.service

[Service]
ExecStart=/usr/bin/python3 /payload/tests/vm/guest_tests.py
ExecStopPost=/usr/bin/systemctl poweroff --force --force
StandardOutput=file:/dev/ttyS1
StandardError=file:/dev/ttyS1
Environment=PYTHONDONTWRITEBYTECODE=1

[Install]
WantedBy=multi-user.target
UNIT
chroot "$root" systemctl --quiet enable guest-tests.service

mkfs.ext4 -q -F -O ^has_journal -L root -d "$root" "$work/root.img" 800M
cp "$work"/kernel/boot/vmlinuz-* "$dir/vmlinuz"
mv "$work/root.img" "$dir/root.img"
