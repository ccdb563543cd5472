#!/usr/bin/env bash
# Install real BVLC Caffe beside the project: Debian 11's build (1.0.0, CPU) in a folder of its own, entered with chroot.
#
#   tests/reference/install.sh [FOLDER]     default FOLDER: tests/reference/root, where tests/conformance looks for it
#
# Needs root, about 1 GB of disk and a minute or two. Debian 11 is the last release whose Caffe runs on a stock Python;
# nothing on PyPI installs it. REFERENCE_MIRROR names another Debian mirror than debootstrap's own default.
# The folder appears under its final name only when it is whole and checked: an interrupted run leaves nothing.
set -euo pipefail

suite=bullseye
# libopenblas0-pthread: without it Caffe falls back to the reference BLAS, some 20 times slower.
packages=(caffe python3-caffe libopenblas0-pthread python3-lmdb python3-pil)
layer_types=61

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=${1:-$here/root}
log=$root.log

say() { printf 'reference: %s\n' "$*"; }
fail() { printf 'reference: error: %s\n' "$*" >&2; exit 1; }

inside() {
    chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        ${http_proxy:+"http_proxy=$http_proxy"} ${https_proxy:+"https_proxy=$https_proxy"} "${@:2}"
}

check() {
    local version
    version=$(inside "$1" caffe --version 2>&1) || { printf '%s\n' "$version"; return 1; }
    inside "$1" python3 -c "
import caffe, lmdb, numpy, platform, PIL
types = len(caffe.layer_type_list())
assert types == $layer_types, 'expected $layer_types layer types, found %d' % types
print('$version, %d layer types; Python %s, NumPy %s' % (types, platform.python_version(), numpy.__version__))"
}

[ "$(id -u)" = 0 ] || fail "debootstrap and chroot need root: run it as root (sudo make reference-caffe)"
if [ -e "$root" ]; then
    found=$(check "$root" 2>&1) || fail "$root is there but does not work; remove it and run this again: ${found##*$'\n'}"
    say "already there, nothing to do: $found"
    exit 0
fi

# A proxy or a date rule that this machine's apt needs is needed by debootstrap and inside the new system as well.
apt_settings=$(apt-config dump 2>/dev/null | grep -E '^Acquire::(https?::(.+::)?Proxy|Check-[A-Za-z-]+|Retries) ' || true)
for scheme in http https; do
    name=${scheme}_proxy
    proxy=$(sed -n "s/^Acquire::$scheme::Proxy \"\(.*\)\";/\1/p" <<<"$apt_settings" | tail -n 1)
    if [ -z "${!name:-}" ] && [ -n "$proxy" ] && [ "$proxy" != DIRECT ]; then export "$name=$proxy"; fi
done

if ! command -v debootstrap >/dev/null; then
    command -v apt-get >/dev/null || fail "debootstrap is missing; install it with this system's package manager"
    say "installing debootstrap"
    { apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends debootstrap; } \
        >"$log" 2>&1 || fail "apt-get could not install debootstrap (its output: $log); install it by hand"
fi

mkdir -p -- "$(dirname -- "$root")"
new=$(mktemp -d -- "$root.new.XXXXXX")
discard() {
    # A debootstrap that was killed may leave its /proc mounted below; never delete through a mount.
    local at
    for at in proc sys dev; do umount -R "$new/$at" 2>/dev/null || true; done
    rm -rf --one-file-system -- "$new"
}
trap discard EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
chmod 755 "$new"

say "1/3 a minimal Debian ($suite)"
debootstrap --variant=minbase "$suite" "$new" ${REFERENCE_MIRROR:+"$REFERENCE_MIRROR"} >"$log" 2>&1 \
    || fail "debootstrap failed: $(tail -n 1 "$log") (all of its output: $log)"

say "2/3 ${packages[*]}"
[ -z "$apt_settings" ] || printf '%s\n' "$apt_settings" >"$new/etc/apt/apt.conf.d/90-from-host"
{ inside "$new" apt-get -q update && inside "$new" apt-get -qy install --no-install-recommends "${packages[@]}"; } \
    >>"$log" 2>&1 || fail "apt-get failed inside the new system: $(grep '^E:' "$log" | tail -n 1) (all of its output: $log)"
inside "$new" apt-get clean
rm -rf "$new"/var/lib/apt/lists/*

say "3/3 does it run?"
mkdir "$new/work"
found=$(check "$new" 2>&1) || fail "the new Caffe does not run: ${found##*$'\n'}"
mv -T -- "$new" "$root" || fail "$root appeared meanwhile; the copy made here is discarded"
rm -f -- "$log"
say "$found; it lies in $root"
