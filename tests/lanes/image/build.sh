#!/bin/bash
# usage: build.sh OUT
# Makes the disk image of the lane's guests: Debian bookworm with systemd, the packages of ./packages, the files of ./overlay.
# OUT is one ext4 file that every machine shares as the base of its own copy-on-write disk. Needs root, mmdebstrap and e2fsprogs.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
out=$(realpath -m "$1")
suite=bookworm
size=2G

# In a mount namespace of its own no mount can stay behind, and dpkg's syncs cost nothing on a tmpfs (40 seconds instead of 130, measured beside a build).
if [ "${FLOE_IMAGE_INSIDE:-}" != yes ]; then
  FLOE_IMAGE_INSIDE=yes exec unshare --mount "$0" "$@"
fi
work=$(mktemp -d)
trap 'umount "$work"; rmdir "$work"; rm -f "$out.new"' EXIT
mount -t tmpfs -o size=1G,mode=755 lane-image "$work"
root=$work/root

packages=$(grep -v '^#' "$here/packages" | paste -sd,)
mmdebstrap --quiet --variant=minbase --include="$packages" "$suite" "$root"

cp -a --no-preserve=ownership "$here/overlay/." "$root/"
# What a package enables starts when a test starts it.
rm -f "$root"/etc/systemd/system/multi-user.target.wants/*
grep -v '^#' "$here/masked-units" | while read -r unit; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
ln -sf /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
: >"$root/etc/fstab"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
rm -rf "$root"/usr/share/{doc,locale,man,info} "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*

# With a small journal: a machine whose power was cut starts again from its disk.
mke2fs -q -F -t ext4 -O ^metadata_csum -J size=8 -E lazy_itable_init=1 -d "$root" "$out.new" "$size" >/dev/null
mv "$out.new" "$out"
