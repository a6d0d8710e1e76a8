#!/bin/bash
# Boots a box: a systemd of its own over this machine's file system, which it can read and not
# change.
#
# usage: unshare --mount --propagation private boot.sh NAME DIR SERVER_NETNS
#   NAME           host name of the box; its control groups carry it too
#   DIR            where the root is mounted, unseen by others; its directory `seed` is laid over it
#   SERVER_NETNS   name of the network namespace that becomes the box's
#
# Ends with exec: the process becomes systemd-nspawn. What is mounted here goes away with the box.
set -euo pipefail

name=$1 dir=$2 netns=$3

mkdir "$dir/layers"
mount -t tmpfs -o mode=755 tmpfs "$dir/layers"
upper=$dir/layers/upper root=$dir/layers/root
mkdir -m 755 "$upper" "$dir/layers/work" "$root"

# Of the top level only the distribution is seen: no home, no sources, nothing that was unpacked by
# hand.
for path in /* /.[!.]*; do
    case $path in
        /bin | /etc | /lib | /lib32 | /lib64 | /libx32 | /sbin | /usr | /var) continue ;;
    esac
    [[ ! -e $path && ! -L $path ]] || mknod "$upper$path" c 0 0 # overlayfs: there is no such file
done
mount -t overlay -o "lowerdir=/,upperdir=$upper,workdir=$dir/layers/work" overlay "$root"
mkdir -m 755 "$root"/{boot,dev,home,media,mnt,opt,proc,run,srv,sys}
install -d -m 1777 "$root/tmp"
install -d -m 700 "$root/root"

# What this machine has enabled, or has of the product, is not the box's.
rm -rf "$root"/etc/systemd/system "$root"/etc/rc[0-9S].d "$root"/etc/cron.* "$root"/etc/ssh \
    "$root"/etc/fstab "$root"/etc/sudoers.d "$root"/usr/sbin/policy-rc.d "$root"/usr/lib/tg_video_streamer \
    "$root"/usr/lib/systemd/system/{tg_video_streamer,yt-dlp-update}* \
    "$root"/{usr/lib,etc}/{sysusers,tmpfiles}.d/tg_video_streamer.conf "$root"/etc/logrotate.d/yt-dlp-update \
    "$root"/var/{lib,cache}/tg_video_streamer "$root"/var/log/yt-dlp-update.log* \
    "$root"/var/log/journal "$root"/var/lib/systemd
rm -f "$root/var/lib/man-db/auto-update" # no index over all manual pages at each installation
mkdir -p "$root"/etc/systemd/system/multi-user.target.wants "$root"/var/lib/systemd
: >"$root/etc/machine-id" # not the first boot, but an id of its own
for unit in console-getty.service getty.target getty-static.service systemd-logind.service systemd-tmpfiles-clean.timer \
    systemd-networkd.service systemd-resolved.service systemd-timesyncd.service systemd-udevd.service \
    systemd-firstboot.service dev-hugepages.mount sys-kernel-debug.mount sys-fs-fuse-connections.mount; do
    ln -s /dev/null "$root/etc/systemd/system/$unit"
done
ln -s /lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
ln -s /lib/systemd/system/ssh.service "$root/etc/systemd/system/multi-user.target.wants/ssh.service"
cp -a "$dir/seed/." "$root/"
echo "$name" >"$root/etc/hostname"

# systemd wants to own the control groups below the one it is started in.
for hierarchy in /sys/fs/cgroup/systemd /sys/fs/cgroup/unified /sys/fs/cgroup; do
    [[ $(stat -f -c %T "$hierarchy" 2>/dev/null) == cgroup*fs ]] || continue
    mkdir -p "$hierarchy/$name"
    echo $$ >"$hierarchy/$name/cgroup.procs"
done

# Landlock is not in nspawn's list of harmless calls.
landlock="landlock_create_ruleset landlock_add_rule landlock_restrict_self"
exec systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit --machine="$name" \
    --network-namespace-path="/run/netns/$netns" --system-call-filter="$landlock" --resolv-conf=off --timezone=off \
    --link-journal=no --console=pipe
