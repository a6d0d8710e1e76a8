#!/usr/bin/env bash
# Checks within 60 s whether a unit is active: exit code 0, or 1 with the reason. Finds and runs
# tgs-check-active, without its check of the broadcast's health.
# Run on the server: ci/check_service_active.sh [UNIT] [--restart] [--timeout 60]
set -euo pipefail
for tool in "$(command -v tgs-check-active || :)" /opt/tg_video_streamer/current/bin/tgs-check-active \
    /usr/bin/tgs-check-active; do
    if [[ -x $tool ]]; then
        # An older tgs-check-active checks /healthz only on request and lacks this option.
        [[ $("$tool" --help) != *--active-only* ]] || set -- --active-only "$@"
        exec "$tool" "$@"
    fi
done
echo "check_service_active.sh: there is no tgs-check-active in PATH, /opt/tg_video_streamer/current/bin or /usr/bin;" \
    "deploy a release or install the package first" >&2
exit 1
