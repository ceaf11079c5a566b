#!/bin/sh
# Builds the image inventiv:VERSION for ARCH from bin/linux-ARCH/inventiv, with
# whichever builder works here. Nothing is pulled: the base is empty.
set -eu
arch=$1 version=$2

# What the image holds besides the binary: certificates, and folders that the
# unprivileged user may write.
root=bin/image
rm -rf "$root"
mkdir -p "$root/etc/ssl/certs" "$root/owned/data" "$root/owned/tmp"
for certificates in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/cert.pem; do
  if [ -f "$certificates" ]; then cp "$certificates" "$root/etc/ssl/certs/ca-certificates.crt"; break; fi
done
if [ ! -f "$root/etc/ssl/certs/ca-certificates.crt" ]; then
  echo "This machine has no CA certificates to put into the image. Install ca-certificates, then run make image again." >&2
  exit 1
fi

set -- --build-arg "TARGETARCH=$arch" --platform "linux/$arch" -t "inventiv:$version" -f Dockerfile .
if command -v docker >/dev/null 2>&1 && docker info >/dev/null 2>&1; then
  docker build "$@"
elif command -v podman >/dev/null 2>&1 && podman info >/dev/null 2>&1; then
  podman build "$@"
else
  ./scripts/need.sh buildah
  buildah --storage-driver vfs bud --isolation chroot "$@"
fi
echo "Built inventiv:$version for linux/$arch. It needs a PostgreSQL: give it INVENTIV_DATABASE_URL."
