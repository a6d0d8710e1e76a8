#!/usr/bin/env bash
# Uploads a release to a server and runs deploy/remote_deploy.sh there.
#
#   DEPLOY_SSH_KEY=... DEPLOY_KNOWN_HOSTS=... ci/deploy.sh [USER@]HOST ARCHIVE [OPTION...]
#
# USER is root or may use sudo without a password. One ssh command uploads the archive, verifies it
# and starts the deploy as a systemd unit: if the connection is lost, a deploy that has begun is
# completed or rolled back, and one that has not begun changes nothing. Its output is in the
# server's journal: journalctl -t tgs-deploy
set -euo pipefail
here=$(dirname "$(readlink --canonicalize "$0")")

if (($# < 2)) || [[ ! -f $2 ]]; then
    echo "usage: deploy.sh [USER@]HOST ARCHIVE [options of remote_deploy.sh]" >&2
    exit 2
fi
host=$1 archive=$2
shift 2

umask 077
parcel=$(mktemp --directory)
trap 'rm -rf "$parcel"' EXIT
cp -- "$archive" "$parcel/release.tar.gz"
cp -- "$here/../deploy/remote_deploy.sh" "$parcel/remote_deploy.sh"
options=()
while (($#)); do
    case $1 in
        --env | --replace-env)
            cp -- "${2:?$1 needs a file}" "$parcel/env"
            options+=("$1" env)
            ;;
        *) options+=("$1" "${2?$1 needs a value}") ;;
    esac
    shift 2
done
(cd "$parcel" && sha256sum -- * >SHA256SUMS)

# Runs on the server as root, with the archive on standard input and the options as arguments.
# shellcheck disable=SC2016 # expanded by the shell that runs it
server='
set -euo pipefail
umask 077
find /var/tmp -maxdepth 1 -type d -user root -name "tgs-deploy.*" -mmin +120 -exec rm -rf {} +
dir=$(mktemp --directory /var/tmp/tgs-deploy.XXXXXXXX)
trap "rm -rf \"\$dir\"" EXIT
timeout 900 tar --extract --directory="$dir"
(cd "$dir" && sha256sum --quiet --strict --check SHA256SUMS)
trap - EXIT
# systemd removes files with settings however the deploy ends, also when it is killed.
exec systemd-run --quiet --wait --collect --pipe --unit="tgs-deploy-$(date +%s%N)" --working-directory="$dir" \
    --property=ExecStopPost="/bin/rm -rf $dir" -- bash remote_deploy.sh --archive release.tar.gz "$@" </dev/null
'

# Quotes one word for any login shell.
quote() {
    printf " '%s'" "${1//\'/\'\\\'\'}"
}
words=$(for word in bash -c "$server" deploy "${options[@]}"; do quote "$word"; done)
tar --create --directory="$parcel" . |
    "$here/on_server.sh" "$host" "if [ \"\$(id -u)\" = 0 ]; then exec$words; else exec sudo -n$words; fi"
