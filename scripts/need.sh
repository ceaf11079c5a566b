#!/bin/sh
# Makes sure that programs from other packages are there: need.sh postgresql nginx
# Says nothing when they are, one line when it installs them, and one sentence
# when it cannot. Go and Node are never installed: distributions have them too old.
set -eu
PATH=$PATH:/usr/sbin:/sbin

has() {
  case $1 in
    postgresql)
      for initdb in /usr/lib/postgresql/*/bin/initdb /usr/pgsql-*/bin/initdb; do
        [ -x "$initdb" ] && return 0
      done
      command -v initdb ;;
    chromium) command -v chromium || command -v chromium-browser || command -v google-chrome ;;
    libc6-dev) [ -f /usr/include/stdio.h ] ;;
    *) command -v "$1" ;;
  esac >/dev/null 2>&1
}

missing=
for name in "$@"; do
  has "$name" && continue
  case $name in
    go) echo "Go is missing. Install Go 1.26 or newer from https://go.dev/dl, then run make again." >&2; exit 1 ;;
    npm) echo "Node is missing. Install Node 20 or newer, with npm, from https://nodejs.org, then run make again." >&2; exit 1 ;;
  esac
  missing="$missing $name"
done
[ -z "$missing" ] && exit 0

as_root=
if [ "$(id -u)" != 0 ]; then as_root=sudo; fi
if ! command -v apt-get >/dev/null 2>&1 || { [ -n "$as_root" ] && ! sudo -n true 2>/dev/null; }; then
  echo "Missing:$missing. Install it with your system's package manager (on Debian or Ubuntu: sudo apt-get install$missing), then run make again." >&2
  exit 1
fi

echo "Installing$missing with apt-get."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# RUNLEVEL=1 keeps a package from starting a server that nobody asked for.
install() {
  $as_root apt-get -o DPkg::Lock::Timeout=120 update &&
    $as_root env RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
      apt-get -o DPkg::Lock::Timeout=120 install -y --no-install-recommends $missing
}
if ! install >"$log" 2>&1; then
  tail -n 5 "$log" >&2
  echo "apt-get could not install$missing. Install it by hand, then run make again." >&2
  exit 1
fi
