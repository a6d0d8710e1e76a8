#!/bin/bash
# Builds the image with the tools of a Debian package (cargo xtask dist), with podman.
#
# usage: build-image.sh PACKAGE.deb TAG [argument of podman build]...
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,4s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
deb=$(realpath "$1") tag=$2
shift 2
here=$(dirname "$(realpath "$0")")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/package/bin"
dpkg-deb --fsys-tarfile "$deb" | tar --extract --directory "$work/package/bin" --strip-components=3 ./usr/bin
# The updater of yt-dlp writes beside a release, which an image has not.
rm "$work/package/bin/tgs-ytdlp-update"
if [ -n "${WHEELS:-}" ]; then
    # Python packages for a build without a network.
    cp -r "$WHEELS" "$work/package/wheels"
    set -- --build-arg PIP_NO_INDEX=1 --build-arg PIP_FIND_LINKS=/package/wheels "$@"
fi
printf 'FROM scratch\nCOPY package/ /package/\n' >"$work/Containerfile"
package=localhost/tgs-package:$(sha256sum "$deb" | cut -c 1-12)
podman build --quiet --tag "$package" --file "$work/Containerfile" "$work" >&2
podman build --format docker --build-arg PACKAGE="$package" --file "$here/Containerfile" --tag "$tag" "$@" "$work"
