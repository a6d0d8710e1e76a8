#!/usr/bin/env bash
# Runs one command on a server over ssh for CI: pinned host key, no prompts, bounded waits.
#
#   DEPLOY_SSH_KEY=... DEPLOY_KNOWN_HOSTS=... ci/on_server.sh HOST COMMAND...
#
# HOST is [USER@]NAME or ssh://[USER@]NAME:PORT. DEPLOY_SSH_KEY is a private key, DEPLOY_KNOWN_HOSTS
# the verified output of ssh-keyscan for the server. The command gets standard input; this script
# exits with its exit code, or 255 if ssh failed.
set -euo pipefail

if (($# < 2)); then
    echo "usage: on_server.sh [USER@]HOST COMMAND..." >&2
    exit 2
fi
host=$1
shift
: "${DEPLOY_SSH_KEY:?is not set: the private key to sign in with}"
: "${DEPLOY_KNOWN_HOSTS:?is not set: the host key of the server, as ssh-keyscan prints it}"

umask 077
dir=$(mktemp --directory)
trap 'rm -rf "$dir"' EXIT
printf '%s\n' "$DEPLOY_SSH_KEY" >"$dir/key"
printf '%s\n' "$DEPLOY_KNOWN_HOSTS" >"$dir/known_hosts"

ssh -F /dev/null -i "$dir/key" -T \
    -o IdentitiesOnly=yes -o IdentityAgent=none -o PreferredAuthentications=publickey -o BatchMode=yes \
    -o StrictHostKeyChecking=yes -o UserKnownHostsFile="$dir/known_hosts" -o GlobalKnownHostsFile=/dev/null \
    -o UpdateHostKeys=no -o ConnectTimeout=15 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 -o LogLevel=ERROR \
    -- "$host" "$@"
