#!/usr/bin/env bash
# Brings a release to a server and has deploy/remote_deploy.sh install it there.
#
#   DEPLOY_SSH_KEY=... DEPLOY_KNOWN_HOSTS=... ci/deploy.sh [USER@]HOST ARCHIVE [options of remote_deploy.sh]
#
# USER is root or may use sudo without a password. One ssh command uploads, checks that all has arrived, and starts the
# work as a systemd unit of its own: where the connection is lost, a deploy that began goes on to its end (or back), and
# one that did not changes nothing. What it said is then in the server's journal: journalctl -t tgs-deploy
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

# Runs on the server as root, with the parcel on its standard input and the options as its arguments.
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
# However the work ends, killed too, systemd then removes what may hold settings.
exec systemd-run --quiet --wait --collect --pipe --unit="tgs-deploy-$(date +%s%N)" --working-directory="$dir" \
    --property=ExecStopPost="/bin/rm -rf $dir" -- bash remote_deploy.sh --archive release.tar.gz "$@" </dev/null
'

# As a word for any shell that the user on the server may have.
quote() {
    printf " '%s'" "${1//\'/\'\\\'\'}"
}
words=$(for word in bash -c "$server" deploy "${options[@]}"; do quote "$word"; done)
tar --create --directory="$parcel" . |
    "$here/on_server.sh" "$host" "if [ \"\$(id -u)\" = 0 ]; then exec$words; else exec sudo -n$words; fi"
