#!/usr/bin/env bash
# Restarts a unit on a server and checks that it is up within 60 s.
#
#   DEPLOY_SSH_KEY=... DEPLOY_KNOWN_HOSTS=... ci/restart.sh [USER@]HOST [UNIT]
#
# USER is root or may use sudo without a password. The server needs nothing but a release or the
# package.
set -euo pipefail
here=$(dirname "$(readlink --canonicalize "$0")")

unit=${2:-tg_video_streamer}
if (($# < 1 || $# > 2)) || [[ ! $unit =~ ^[A-Za-z0-9][A-Za-z0-9_.@:-]*$ ]]; then
    echo "usage: restart.sh [USER@]HOST [UNIT]" >&2
    exit 2
fi
"$here/on_server.sh" "$1" \
    "if [ \"\$(id -u)\" = 0 ]; then run=exec; else run='exec sudo -n'; fi; \$run bash -s -- $unit --restart --timeout 60" \
    <"$here/check_service_active.sh"
