#!/bin/bash
# Writes a root file system with PACKAGE... and what they depend on to stdout, as a tar archive of
# the files that this machine has of them. apt takes all packages of the machine for installed
# there.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mapfile -t essential < <(dpkg-query --show --showformat '${Essential} ${Package}\n' | sed -n 's/^yes //p')
apt-cache depends --recurse --installed --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \
    --no-enhances apt "${essential[@]}" "$@" | grep '^[a-z0-9]' | sort -u >"$work/names"
# Some names are virtual. The fields are dpkg's, not the shell's.
# shellcheck disable=SC2016
{ xargs dpkg-query --show --showformat '${db:Status-Abbrev} ${binary:Package}\n' <"$work/names" 2>/dev/null || true; } |
    awk '$1 == "ii" { print $2 }' >"$work/packages"
merged='s,^/(bin|sbin|lib|lib64)/,/usr/\1/,'
[[ -L /bin ]] || merged=
xargs dpkg-query --listfiles <"$work/packages" | grep '^/.' | sed --regexp-extended "$merged" |
    grep --invert-match --extended-regexp '^/usr/share/(doc|man|locale|info|lintian|bug)/|/dri/' | sort -u >"$work/files"
# What the packages' scripts have made, and the links of a merged /usr.
{
    for path in /bin /sbin /lib* /etc/passwd /etc/group /etc/nsswitch.conf /etc/ld.so.cache /etc/localtime \
        /etc/mime.types; do
        [[ ! -e $path ]] || echo "$path"
    done
    find /etc/alternatives /etc/ssl /var/lib/dpkg /usr/share/ca-certificates
    find /usr/bin /usr/lib -maxdepth 2 -type l -lname '/etc/alternatives/*'
    find /etc/fonts /usr/lib/python3 /usr/lib/python3.[0-9]* ! -path '*/dist-packages/*' 2>/dev/null || true
    echo /tmp
} >>"$work/files"
sort -u "$work/files" | while IFS= read -r path; do
    [[ ! -e $path && ! -L $path ]] || echo "${path#/}"
done >"$work/there"
exec tar --create --directory / --no-recursion --files-from "$work/there"
