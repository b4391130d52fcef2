#!/bin/bash
# usage: kernel.sh OUT
# Builds the guest kernel (User-Mode Linux, 7.2 or newer) from Debian's linux-source package with ./uml.config. About 14 CPU minutes.
#
# Debian's ready-made user-mode-linux packages do not serve: 6.1 stops with a panic on processors with AMX (its buffer for the register state
# is too small), and 7.2 has neither nftables' inet family nor WireGuard. The source package of a newer suite is read with an apt
# configuration of its own, so the machine's sources stay as they are.
# Needs: gcc make flex bison bc xz-utils libelf-dev, 2 GiB in TMPDIR.
set -euo pipefail
here=$(dirname "$(realpath "$0")")
out=$(realpath -m "$1")
suite=forky

missing=()
for tool in gcc make flex bison bc xz apt-get dpkg-deb; do
  command -v "$tool" >/dev/null || missing+=("$tool")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "kernel.sh: missing: ${missing[*]}; apt-get install gcc make flex bison bc xz-utils libelf-dev" >&2
  exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# shellcheck disable=SC2016 # apt-get fills in these names
mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' | awk '$1 == "Debian" { print $2; exit }')
[ -n "$mirror" ] || { echo "kernel.sh: apt knows no Debian mirror; run apt-get update first" >&2; exit 1; }
mkdir -p apt/lists/partial apt/cache/archives/partial apt/parts
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" >apt/sources.list
chmod -R a+rX "$work"
own_apt=(-o Dir::Etc::SourceList="$work/apt/sources.list" -o Dir::Etc::SourceParts="$work/apt/parts" -o Dir::State::Lists="$work/apt/lists"
  -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User=root)
apt-get "${own_apt[@]}" -q update
package=$(apt-cache "${own_apt[@]}" search --names-only '^linux-source-[0-9.]+$' | cut -d' ' -f1 | sort -V | tail -1)
[ -n "$package" ] || { echo "kernel.sh: $suite has no linux-source package" >&2; exit 1; }
echo "kernel.sh: building from $package"
apt-get "${own_apt[@]}" -q download "$package"

dpkg-deb --fsys-tarfile "$package"_*.deb | tar -x --wildcards './usr/src/linux-source-*.tar.xz'
tar xf usr/src/linux-source-*.tar.xz
cd linux-source-*/
make -s ARCH=um O=../build defconfig
scripts/kconfig/merge_config.sh -O ../build -m ../build/.config "$here/uml.config" >/dev/null
make -s ARCH=um O=../build olddefconfig
make -s ARCH=um O=../build -j"$(nproc)" linux
strip -o "$out" ../build/linux
