#!/usr/bin/env bash
# Shows on a live (staging) host that systemd brings the broadcast back: kills its main process and
# waits for the next. Viewers see a gap of some ten seconds. Nothing is changed.
set -euo pipefail

usage() {
    cat <<'END'
usage: test_systemd_restart.sh [--unit UNIT] [--timeout SECONDS]

Kills the main process of the unit with SIGKILL and waits until the unit is active again: another main process, one
restart more than before, and both still so three seconds later. Run it as root; the broadcast breaks off for a moment.

  --unit UNIT        the unit (default: tg_video_streamer)
  --timeout SECONDS  how long it may take (default: 30; RestartSec= is 10)

Exit status: 0 it came back, 1 it did not, or there was nothing to kill (the reason is printed), 2 usage.
END
}

fail() {
    echo "FAIL: $*" >&2
    exit 1
}

refuse() {
    echo "test_systemd_restart.sh: $*" >&2
    usage >&2
    exit 2
}

unit=tg_video_streamer
timeout=30
while (($#)); do
    case $1 in
        --unit | --timeout)
            (($# > 1)) || refuse "$1 needs a value"
            if [[ $1 == --unit ]]; then unit=$2; else timeout=$2; fi
            shift 2
            ;;
        -h | --help)
            usage
            exit 0
            ;;
        *) refuse "unknown argument: $1" ;;
    esac
done
[[ $timeout =~ ^[1-9][0-9]{0,4}$ ]] || refuse "--timeout takes whole seconds, from 1 to 99999"

command -v systemctl >/dev/null || fail "there is no systemctl: this host does not run systemd"

# Reads ActiveState, SubState, MainPID, NRestarts and Result of the unit into variables of these
# names.
look() {
    local name value
    ActiveState='' SubState='' MainPID=0 NRestarts=0 Result=''
    while IFS='=' read -r name value; do
        case $name in
            ActiveState) ActiveState=$value ;;
            SubState) SubState=$value ;;
            MainPID) MainPID=$value ;;
            NRestarts) NRestarts=$value ;;
            Result) Result=$value ;;
        esac
    done < <(systemctl show --property=ActiveState,SubState,MainPID,NRestarts,Result -- "$unit")
}

state() {
    echo "$ActiveState ($SubState), result $Result, main process $MainPID, restarts $NRestarts"
}

look
[[ $ActiveState == active && $MainPID != 0 ]] || fail "$unit is not active before the test: $(state)"
pid=$MainPID restarts=$NRestarts
echo "$unit: $(state)"

killed=$SECONDS
systemctl kill --kill-who=main --signal=SIGKILL -- "$unit" || fail "$unit cannot be killed; run this as root"
echo "killed $pid"

until [[ $ActiveState == active && $MainPID != 0 && $MainPID != "$pid" ]]; do
    ((SECONDS - killed < timeout)) || fail "$unit is not active again after $timeout s: $(state)"
    sleep 0.5
    look
done
took=$((SECONDS - killed))
new=$MainPID
((NRestarts == restarts + 1)) || fail "$unit was restarted $((NRestarts - restarts)) times, not once: $(state)"
sleep 3
look
[[ $ActiveState == active && $MainPID == "$new" && $NRestarts == "$((restarts + 1))" ]] ||
    fail "$unit came back and went again: $(state)"
echo "PASS: $unit was active again after $took s, main process $new"
