#!/usr/bin/env bash
# Deploys a release to the two hosts of a hot standby without taking the channel off the air: to the
# standby first, then the host on air hands over, then to that one. A release that does not stay up
# on the standby is taken back there, was never on air, and ends the deploy.
#
#   DEPLOY_SSH_KEY=... DEPLOY_KNOWN_HOSTS=... \
#       ci/deploy_pair.sh [USER@]HOST [USER@]HOST ARCHIVE [options of remote_deploy.sh]
#
# DEPLOY_CHANNEL names the channel (main); DEPLOY_KNOWN_HOSTS has the keys of both hosts. A run that
# was interrupted is repeated: it begins with the host that is the standby then.
set -euo pipefail
here=$(dirname "$(readlink --canonicalize "$0")")
readonly CHANNEL=${DEPLOY_CHANNEL:-main}
# How long a host may take to be a standby that is ready.
readonly PATIENCE=120

if (($# < 3)) || [[ ! -f $3 || $1 == "$2" || ! $CHANNEL =~ ^[A-Za-z0-9_-]+$ ]]; then
    echo "usage: deploy_pair.sh [USER@]HOST [USER@]HOST ARCHIVE [options of remote_deploy.sh]" >&2
    exit 2
fi
one=$1 other=$2
shift 2

die() {
    printf 'deploy_pair.sh: %s\n' "$*" >&2
    exit 1
}

# tgs-ctl on HOST, as root.
ctl() {
    local host=$1 tool="/opt/tg_video_streamer/current/bin/tgs-ctl --channel $CHANNEL"
    shift
    "$here/on_server.sh" "$host" "if [ \"\$(id -u)\" = 0 ]; then exec $tool $*; else exec sudo -n $tool $*; fi" </dev/null
}

# Whether HOST is a standby, or with `ready` one that could take over now.
is_standby() {
    local said
    said=$(ctl "$1" status) || return 1
    grep --quiet '^State  *standby' <<<"$said" || return 1
    [[ ${2:-} != ready ]] || grep --quiet '(this one): standby, ready' <<<"$said"
}

await_standby() {
    local end=$((SECONDS + PATIENCE))
    until is_standby "$1" ready; do
        ((SECONDS < end)) || die "$1 is no standby that is ready; on that host: sudo tgs-diag"
        sleep 1
    done
}

if is_standby "$one"; then
    standby=$one active=$other
elif is_standby "$other"; then
    standby=$other active=$one
else
    die "neither $one nor $other is a standby: nothing was changed; on both: sudo tgs-ctl status"
fi
! is_standby "$active" || die "both $one and $other are standbys: nothing was changed; on both: sudo tgs-ctl status"

echo "deploy: first to $standby, the standby"
"$here/deploy.sh" "$standby" "$@"
await_standby "$standby"
echo "deploy: $active hands over to $standby"
# The host on air may hear a little later that the other one is ready.
for turn in {1..10}; do
    if ctl "$active" handover || is_standby "$active"; then break; fi
    ((turn < 10)) || die "$active does not hand over; on that host: sudo tgs-diag"
    sleep 1
done
await_standby "$active"
echo "deploy: now to $active"
"$here/deploy.sh" "$active" "$@"
await_standby "$active"
echo "deploy: both hosts have the release, and $standby is on air"
