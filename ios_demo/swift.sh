#!/usr/bin/env bash
# Runs a command of the Swift toolchain: `ios_demo/swift.sh swift build`.
#
# The `swift` on the path is taken if it is Swift 6 or newer (https://swift.org/install). Elsewhere, on Linux as root, Debian 13's
# swiftlang (6.0.3) is installed once into .toolchains/swift, 3.3 GB, its packages checked by Debian's signatures, and
# used through chroot. Inside, the folders named in MOBILE_SEG_SWIFT_SEES (separated by colons) stand at their own
# paths, and so does this repository; what is mounted for that vanishes with the command.
set -euo pipefail

PATH="$PATH:/usr/sbin:/sbin" # debootstrap and chroot lie there, where not every shell of root looks
repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)"
root="$repository/.toolchains/swift"
mirror="${MOBILE_SEG_DEBIAN_MIRROR:-}" # empty: debootstrap's own

fail() {
  echo "ios_demo/swift.sh: $*" >&2
  exit 1
}

install_swift() {
  [[ "$(uname -s)" == Linux && "$(id -u)" == 0 ]] ||
    fail "there is no Swift 6 on the path: install Swift 6 (https://swift.org/install), or run this on Linux as root"
  command -v debootstrap >/dev/null ||
    fail "there is no Swift 6 on the path, and no debootstrap to get one: apt-get install debootstrap"
  echo "installing Debian's Swift into $root (3.3 GB, some minutes, once)" >&2
  rm -rf "$root.part"
  mkdir -p "$root.part"
  local log="$root.log"
  debootstrap --variant=minbase \
    --include=swiftlang,ca-certificates,git,python3,libstdc++-14-dev,libc6-dev,binutils \
    trixie "$root.part" ${mirror:+"$mirror"} >"$log" 2>&1 || fail "debootstrap failed: $(tail -n 1 "$log") (all of it: $log)"
  rm -rf "$root.part/var/cache/apt/archives"
  mv "$root.part" "$root"
}

# Other programs are called swift too.
on_the_path() {
  [[ "$(swift --version 2>/dev/null)" =~ Swift\ version\ ([0-9]+) ]] && ((BASH_REMATCH[1] >= 6))
}

if on_the_path; then
  exec "$@"
fi
[[ -d "$root" ]] || install_swift

# In mounts of its own, which nothing outside of this process sees.
export root repository
exec unshare --mount --propagation private bash -c '
  set -euo pipefail
  IFS=: read -ra folders <<<"$repository:${MOBILE_SEG_SWIFT_SEES:-}"
  mount -t proc proc "$root/proc"
  mount --rbind /dev "$root/dev"
  for folder in "${folders[@]}"; do
    [[ -n "$folder" ]] || continue
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
  done
  exec chroot "$root" bash -c "cd \"\$1\" && shift && exec \"\$@\"" swift "$PWD" "$@"
' swift "$@"
