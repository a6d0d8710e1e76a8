#!/usr/bin/env bash
# Installs a release on this host and rolls back to the previous one if it does not stay up. Runs as
# root; ci/deploy.sh uploads it and starts it independently of the ssh connection. Its output is
# also in the journal: journalctl -t tgs-deploy
#
#   releases/<id>    written by root under a temporary name, renamed when complete
#   current          link to the running release; replaced by rename, so it always names a whole one
#   shared/.env      owned by the service's user, as its directory is: only that user writes there
#
# Killed at any moment it leaves the old or the new release in place; the next run cleans up and
# knows which release was proven.
set -euo pipefail
shopt -s nullglob inherit_errexit

readonly ROOT=/opt/tg_video_streamer
readonly UNIT_DIR=/etc/systemd/system
# Units that the removal of the package masked.
readonly DPKG_MASKS=/var/lib/systemd/deb-systemd-helper-masked
readonly MAIN=tg_video_streamer.service
readonly ACCOUNT=tgstream
readonly LOCK=/run/tg_video_streamer-deploy.lock
# Exists while a release is unproven: the previous link, the new link, and the checksum of the
# settings that came with it.
readonly UNPROVEN=$ROOT/.deploying

archive='' label='' env_file='' env_how=install keep=5 timeout=60 stable=60
new='' previous='' swapped='' env_sum='' had_env=''
judged=() others=() touched=() fresh=() over=()

usage() {
    cat <<'END'
Usage: remote_deploy.sh --archive FILE [options]

  --archive FILE      the release: tgs-<version>-<arch>.tar.gz, as cargo xtask dist makes it
  --id NAME           what to call it; by default the name of the folder in the archive
  --env FILE          install this as .env, if there is none yet
  --replace-env FILE  install this as .env in any case; the old one comes back with the
                      old release, and is .env.bak once the new one is proven
  --keep N            releases to keep (5)
  --timeout SECONDS   how long each unit may take to be active (60)
  --stable SECONDS    how long it must then run without a restart (60)

Exit codes: 0 the new release runs (or waits for its settings), 1 it failed and the one before is back,
2 usage, 75 another deploy is under way.
END
}

# ── Output ────────────────────────────────────────────────────────────────────────────────────────

say() {
    # The reader may have disconnected; the deploy continues, and the journal has the output.
    { printf 'deploy: %s\n' "$*" || :; } 2>/dev/null
    logger -t tgs-deploy -- "$*" 2>/dev/null || :
}

die() {
    say "$*"
    exit 1
}

# ── The command line ──────────────────────────────────────────────────────────────────────────────

wrong_usage() {
    { printf 'remote_deploy.sh: %s\n' "$1" && usage; } >&2
    exit 2
}

read_options() {
    while (($#)); do
        case $1 in
            --help | -h) usage && exit 0 ;;
            --archive | --id | --env | --replace-env | --keep | --timeout | --stable) (($# > 1)) || wrong_usage "$1 needs a value" ;;
            *) wrong_usage "what is $1?" ;;
        esac
        case $1 in
            --archive) archive=$2 ;;
            --id) label=$2 ;;
            --env) env_file=$2 env_how=install ;;
            --replace-env) env_file=$2 env_how=replace ;;
            --keep) keep=$2 ;;
            --timeout) timeout=$2 ;;
            --stable) stable=$2 ;;
        esac
        shift 2
    done
    [[ $archive ]] || wrong_usage "--archive is missing"
    [[ $keep =~ ^[1-9][0-9]{0,2}$ ]] || wrong_usage "--keep wants a number from 1"
    [[ $timeout =~ ^[1-9][0-9]{0,3}$ ]] || wrong_usage "--timeout wants a number of seconds"
    [[ $stable =~ ^[1-9][0-9]{0,3}$ ]] || wrong_usage "--stable wants a number of seconds"
    [[ -z $label || $label =~ ^[A-Za-z0-9][A-Za-z0-9._+-]{0,79}$ ]] || wrong_usage "--id may hold letters, digits and . _ + -"
    [[ -f $archive && -r $archive ]] || wrong_usage "there is no file $archive"
    [[ -z $env_file || -s $env_file ]] || wrong_usage "there is nothing in $env_file"
}

# ── Before anything is changed ────────────────────────────────────────────────────────────────────

take_lock() {
    exec 9>"$LOCK"
    # Waits briefly: the last child of a killed run may still hold the lock.
    flock --wait 3 9 || {
        say "another deploy is under way; try again when it has ended"
        exit 75
    }
}

# root only works in directories of root: another owner could replace names meanwhile.
must_be_roots() {
    local dir
    for dir in "$@"; do
        [[ ! -L $dir && -d $dir ]] || die "$dir is not a directory; move it out of the way"
        [[ $(stat --format=%u "$dir") == 0 ]] || die "$dir does not belong to root; run: chown root:root $dir"
        [[ ! $(find "$dir" -maxdepth 0 -perm /022) ]] || die "others may write to $dir; run: chmod go-w $dir"
    done
}

prepare() {
    [[ -d /run/systemd/system ]] || die "this host does not run systemd"
    mkdir -p "$ROOT/releases"
    must_be_roots "$ROOT" "$ROOT/releases"
    [[ -L $ROOT/current || ! -e $ROOT/current ]] || die "$ROOT/current is not a link; move it out of the way"
    # Leftovers of a killed run.
    rm -rf "$ROOT"/releases/.new.* "$ROOT"/current.new.* "$UNPROVEN".new.* "$ROOT"/last-deploy.new.*
    if is_masked && ! masked_by_dpkg "$MAIN"; then
        die "$MAIN is masked, so no release could be started; run: systemctl unmask $MAIN"
    fi
    find_previous
}

is_masked() {
    [[ $(systemctl show --property=LoadState --value "$MAIN") == masked ]]
}

# Whether UNIT is masked only because the package was removed.
masked_by_dpkg() {
    [[ -e $DPKG_MASKS/$1 && ! -e /usr/lib/systemd/system/$1 && $(readlink "$UNIT_DIR/$1" || :) == /dev/null ]]
}

# The directory that `current` names: relative to $ROOT, or absolute (a package's).
directory() {
    if [[ $1 == /* ]]; then printf '%s' "$1"; else printf '%s' "$ROOT/$1"; fi
}

is_release() {
    [[ $1 && -x $(directory "$1")/bin/tgs-stream ]]
}

find_previous() {
    local before='' now='' sum=''
    previous=$(readlink "$ROOT/current" || :)
    previous=${previous#"$ROOT"/}
    if [[ -f $UNPROVEN ]]; then
        { read -r before && read -r now && read -r sum; } <"$UNPROVEN" || :
        if [[ $now && $now == "$previous" ]] && is_release "$before"; then
            say "the deploy of $now was cut off before it was proven; behind it stands $before"
            previous=$before
        elif [[ $now == releases/?* && $now != "$previous" && -d $ROOT/$now ]]; then
            say "the deploy of $now was cut off before it began to run"
            remove_release "$now"
        fi
    fi
    is_release "$previous" || previous=''
    # The settings of the interrupted deploy are rolled back with it.
    if [[ -e $ROOT/shared/.env.before-deploy ]]; then
        if [[ $sum ]]; then
            env_work restore "$ROOT/shared/.env" "$sum" </dev/null
        else
            env_work keep "$ROOT/shared/.env" </dev/null
        fi || say "going on with the settings as they are"
    fi
}

# ── The release ───────────────────────────────────────────────────────────────────────────────────

unpack() {
    local names top dir name
    names=$(tar --list --gzip --file="$archive") || die "$archive is no whole archive; upload it again"
    top=$(cut --delimiter=/ --fields=1 <<<"$names" | sort --unique)
    [[ $top =~ ^[A-Za-z0-9][A-Za-z0-9._+-]*$ ]] || die "$archive does not hold one folder, as a release does"
    ! grep --quiet --extended-regexp '(^|/)\.\.(/|$)' <<<"$names" || die "$archive holds a path with .. in it"
    # Two releases within one second get different names.
    until name=releases/$(date --utc +%Y%m%dT%H%M%SZ)-${label:-$top} && [[ ! -e $ROOT/$name && ! -L $ROOT/$name ]]; do
        sleep 0.2
    done
    dir=$(mktemp --directory "$ROOT/releases/.new.XXXXXXXX")
    tar --extract --gzip --file="$archive" --directory="$dir" --strip-components=1 --no-same-owner --no-same-permissions ||
        die "$archive cannot be unpacked"
    rm -rf "$dir/.env" "$dir/venv"
    [[ ! $(find "$dir" ! -type f ! -type d -print -quit) ]] || die "$archive holds links or devices; a release has none"
    chmod --recursive u=rwX,go=rX "$dir"
    ln -s ../../shared/.env "$dir/.env"
    ln -s ../../shared/ytdlp/current "$dir/venv"
    prove_form "$dir"
    # Synced to disk before it is renamed.
    sync --file-system "$dir"
    touch "$dir"
    mark_unproven "$previous" "$name"
    mv --no-target-directory "$dir" "$ROOT/$name"
    new=$name
    sync "$ROOT/releases"
    say "unpacked $new"
}

# Creates the user and the layout, and checks that the two main programs start.
prove_form() {
    local dir=$1 file
    for file in systemd/$MAIN sysusers.d/tg_video_streamer.conf tmpfiles.d/tg_video_streamer.conf; do
        [[ -f $dir/$file ]] || die "$archive is no release: it has no $file"
    done
    systemd-sysusers "$dir/sysusers.d/tg_video_streamer.conf" || die "the user $ACCOUNT could not be made"
    systemd-tmpfiles --create "$dir/tmpfiles.d/tg_video_streamer.conf" || die "the directories under $ROOT could not be made"
    for file in bin/tgs-stream bin/tgs-check-active; do
        # shellcheck disable=SC2016 # expanded by the shell that runs it
        as_service 'timeout 10 "$1" --version >/dev/null' "$dir/$file" </dev/null ||
            die "$file of this release does not run on this host (wrong architecture?); what runs was left alone"
    done
}

# ── Settings ──────────────────────────────────────────────────────────────────────────────────────

# Runs SCRIPT as the service's user, without a terminal (TIOCSTI) and without our lock.
as_service() {
    timeout --kill-after=5 60 setsid --wait setpriv --reuid="$ACCOUNT" --regid="$ACCOUNT" --init-groups --no-new-privs \
        env --ignore-environment PATH=/usr/bin:/bin LC_ALL=C bash -euo pipefail -c "$1" remote_deploy.sh "${@:2}" 9>&-
}

# Edits a .env as the service's user, so that no file in that directory can gain privileges. Holds
# the lock of tgs-session (whose rules say: the locked file must still have its name; remove it at
# the end).
# shellcheck disable=SC2016 # expanded by the shell that runs it
readonly ENV_WORK='
what=$1 file=$2
cd "${file%/*}"
name=${file##*/} lock=${file##*/}.lock
umask 077
locked=
for _ in {1..100}; do
    [[ -e $lock ]] || (umask 022; set -C; : >"$lock") 2>/dev/null || :
    { exec 8<>"$lock"; } 2>/dev/null || exec 8<"$lock"
    if ! flock --wait 30 8; then
        echo "another process is changing $file; try again when it has ended"
        exit 1
    fi
    if [[ $lock -ef /proc/self/fd/8 ]]; then
        locked=1
        break
    fi
done
[[ $locked ]]
unlock() { [[ ! $lock -ef /proc/self/fd/8 ]] || rm -f "$lock"; }
trap unlock EXIT
{ truncate --size=0 "$lock" && echo "$$ remote_deploy.sh" >&8; } 2>/dev/null || :

# Replaces a file with stdin atomically; the file is readable by its owner only at every moment.
put() {
    rm -f "$1.tgs-new"
    (set -C; cat >"$1.tgs-new")
    if [[ ! -s $1.tgs-new && $1 == "$name" ]]; then
        rm -f "$1.tgs-new"
        echo "there is nothing to put into $1"
        exit 1
    fi
    sync "$1.tgs-new"
    mv --no-target-directory "$1.tgs-new" "$1"
    sync .
}

if [[ -L $name ]]; then
    echo "$file is a link, which is not followed; put the file itself there"
    exit 1
fi
case $what in
    install)
        if [[ -e $name ]]; then
            echo "kept $file; --replace-env replaces it"
        else
            put "$name"
            echo "installed $file"
        fi ;;
    replace)
        # Empty if there was no file.
        if [[ -e $name ]]; then put "$name.before-deploy" <"$name"; else put "$name.before-deploy" </dev/null; fi
        put "$name"
        echo "replaced $file" ;;
    restore)
        # A later sign-in may have changed the file: its session is valid, the earlier one may not
        # be.
        if [[ -L $name.before-deploy || ! -f $name.before-deploy ]]; then :
        elif [[ -e $name && $(sha256sum <"$name") != "$3  -" ]]; then
            if [[ -s $name.before-deploy ]] && ! cmp --quiet "$name" "$name.before-deploy"; then
                mv --no-target-directory "$name.before-deploy" "$name.bak"
                echo "left $file, which was changed meanwhile; as it was before, it is $name.bak"
            fi
        elif [[ -s $name.before-deploy ]]; then
            mv --no-target-directory "$name.before-deploy" "$name"
            echo "put the old $file back"
        else
            rm -f "$name"
            echo "removed $file: there was none before"
        fi
        rm -f "$name.before-deploy"
        sync . ;;
    keep)
        if [[ -f $name.before-deploy && -s $name.before-deploy ]]; then
            mv --no-target-directory "$name.before-deploy" "$name.bak"
        fi
        rm -f "$name.before-deploy"
        sync . ;;
    mend)
        if [[ ! -e $name ]]; then :
        elif [[ -O $name ]]; then chmod 600 "$name"
        else
            put "$name"
            echo "$file belongs to the service now"
        fi ;;
esac
'

# Runs the action WHAT on a .env FILE with the content on stdin and reports a failure.
env_work() {
    local said
    said=$(exec 9>&- && as_service "$ENV_WORK" "$@" 2>&1) || {
        say "the settings could not be put in order: $said"
        return 1
    }
    [[ ! $said ]] || say "$said"
}

# Sets owner and mode of a .env. A file that an operator created as root is read as root: symbolic
# links are refused, and fs.protected_hardlinks rules out hard links to another user's file.
mend_env() {
    local file=$1
    if [[ ! -L $file && -e $file && $(stat --format=%U "$file") != "$ACCOUNT" ]]; then
        if [[ $(</proc/sys/fs/protected_hardlinks) != 1 ]]; then
            say "$file does not belong to $ACCOUNT, and fs.protected_hardlinks is off; run: sysctl fs.protected_hardlinks=1"
            return 1
        fi
        dd if="$file" iflag=nofollow,nonblock bs=64K count=16 status=none | env_work mend "$file"
    else
        env_work mend "$file" </dev/null
    fi
}

# Steps that can fail come first; replacing the settings is the last step before the swap and is
# rolled back with it.
settings() {
    local file shared=$ROOT/shared/.env
    [[ ! -e $shared ]] || had_env=1
    for file in "$shared" "$ROOT"/instances/*.env; do
        # One channel must block neither the others nor a release that fixes its problem.
        mend_env "$file" || [[ $file == "$shared" && $env_file ]] || say "WARNING: left $file as it is"
    done
    [[ $env_file ]] || return 0
    if [[ $env_how == replace ]]; then
        env_sum=$(sha256sum <"$env_file")
        env_sum=${env_sum%% *}
        mark_unproven "$previous" "$new" "$env_sum"
    fi
    env_work "$env_how" "$shared" <"$env_file" || exit 1
}

# Restores the old settings if ours are still in place.
restore_env() {
    [[ ! $env_sum ]] || env_work restore "$ROOT/shared/.env" "$env_sum" </dev/null
}

# ── Units ─────────────────────────────────────────────────────────────────────────────────────────

# Links PLACE to PATH inside the current release, so that a rollback covers it. Keeps an operator's
# own file. Fails if nothing was linked.
link() {
    local place=$1 target=$ROOT/current/$2
    if [[ -L $place && $(readlink "$place") == "$target" ]]; then
        return 1
    elif [[ -e $place || -L $place ]]; then
        say "left $place as it is: it is not ours"
        return 1
    fi
    ln -s "$target" "$place"
}

# Our unit in /etc overrides the package's in /usr. Records in `over` which overrides are new, and
# in `fresh` which units the previous release lacked: "systemctl disable" also removes our link, and
# must not be undone.
link_files() {
    local file name
    fresh=() over=()
    for file in "$ROOT/$new"/systemd/*.{service,timer}; do
        name=${file##*/}
        if masked_by_dpkg "$name"; then
            rm -f "$UNIT_DIR/$name" "$DPKG_MASKS/$name"
        fi
        link "$UNIT_DIR/$name" "systemd/$name" || continue
        [[ ! -e /usr/lib/systemd/system/$name ]] || over+=("$name")
        [[ $previous && -e $(directory "$previous")/systemd/$name ]] || fresh+=("$name")
    done
    for file in "$ROOT/$new"/logrotate.d/*; do
        link "/etc/logrotate.d/${file##*/}" "logrotate.d/${file##*/}" || :
    done
}

# Units that start at boot once settings exist.
enable_units() {
    local name link
    for name in "${fresh[@]}"; do
        [[ $name == "$MAIN" || $name == *.timer ]] || continue
        systemctl --quiet enable "$name" || say "$name could not be enabled"
        # systemctl would resolve our link to this release, which is deleted one day.
        for link in "$UNIT_DIR"/*.wants/"$name"; do
            ln --symbolic --force --no-dereference "$UNIT_DIR/$name" "$link"
        done
        [[ $name != *.timer ]] || systemctl --quiet start "$name" || say "$name could not be started"
    done
}

# Our links without a target, after a rollback to a release that lacks the file.
unlink_missing() {
    local link
    for link in "$UNIT_DIR"/tg_video_streamer* "$UNIT_DIR"/tg_video_web* "$UNIT_DIR"/tg_video_bot* \
        "$UNIT_DIR"/yt-dlp-update* /etc/logrotate.d/*; do
        if [[ -L $link && ! -e $link && $(readlink "$link") == "$ROOT"/current/* ]]; then
            rm -f "$link"
        fi
    done
}

# Units of this run that override the package's.
unlink_over() {
    local name
    for name in "${over[@]}"; do
        rm -f "$UNIT_DIR/$name"
    done
}

# Units that run now must run afterwards; a unit that failed before proves nothing.
find_units() {
    local unit state
    while read -r unit _ state _; do
        if [[ $state == active ]]; then judged+=("$unit"); else others+=("$unit"); fi
    done < <(systemctl list-units --type=service --plain --full --no-legend --no-pager \
        --state=active,reloading,activating,deactivating "$MAIN" 'tg_video_streamer@*.service')
    if [[ ! ${judged[*]} ]]; then
        judged=("${others[@]}") others=()
    fi
}

# A stopped broadcast stays stopped. A deploy starts one only the first time, or from `failed`.
add_main_unit() {
    local unit
    for unit in "${judged[@]}" "${others[@]}"; do
        [[ $unit != "$MAIN" ]] || return 0
    done
    if [[ -e $ROOT/current/.env ]] && systemctl --quiet is-enabled "$MAIN" 2>/dev/null &&
        { [[ ! $previous || ! $had_env ]] || systemctl --quiet is-failed "$MAIN"; }; then
        judged+=("$MAIN")
    fi
}

# Checks the settings of running broadcasts with the new release while the old one still runs.
prove_settings() {
    local unit name dir options said refused=''
    for unit in "${judged[@]}" "${others[@]}"; do
        systemctl --quiet is-active "$unit" || continue
        name=${unit%.service}
        dir=$ROOT/shared options=(--env-file "$ROOT/shared/.env")
        if [[ $name == *@* ]]; then
            dir=$ROOT/instances options=(--fixed-port --env-file "$ROOT/instances/${name#*@}.env")
        fi
        # shellcheck disable=SC2016 # expanded by the shell that runs it
        said=$(exec 9>&- && as_service 'cd "$1" && export STATE_DIRECTORY="$2" CACHE_DIRECTORY="$3"
            exec timeout 45 "$4" --check-settings "${@:5}"' "$dir" "/var/lib/$name" "/var/cache/${MAIN%.service}" \
            "$ROOT/$new/bin/tgs-stream" "${options[@]}" </dev/null 2>&1) && continue
        # Any other exit code: the check itself failed; the check after the restart decides.
        if (($? == 78)); then
            say "$unit would not start with its settings, says $new:"
            say "$said"
            refused=1
        fi
    done
    [[ ! $refused ]] || die "nothing was stopped: mend the settings, then deploy again"
}

# ── The swap ──────────────────────────────────────────────────────────────────────────────────────

swap_to() {
    ln -s "$1" "$ROOT/current.new.$$" && mv --no-target-directory "$ROOT/current.new.$$" "$ROOT/current" && sync "$ROOT"
}

# Records that release NOW is unproven, release BEFORE it, and the checksum SUM of its settings.
mark_unproven() {
    printf '%s\n%s\n%s\n' "$1" "$2" "${3:-}" >"$UNPROVEN.new.$$"
    sync "$UNPROVEN.new.$$"
    mv --no-target-directory "$UNPROVEN.new.$$" "$UNPROVEN"
}

# Records for the bot how this deploy ended: `done` or `back`.
note() {
    local file=$ROOT/last-deploy
    { printf '%s %s\n' "$1" "$new" >"$file.new.$$" && mv --no-target-directory "$file.new.$$" "$file"; } ||
        say "$file could not be written, so the bot tells nothing of this deploy"
}

# Runs the current release's tgs-check-active with the given options.
check() {
    local said code=0
    # Without our lock: it may outlive a killed deploy and must not block the next one.
    said=$(exec 9>&- && exec "$ROOT/current/bin/tgs-check-active" "$@" 2>&1) || code=1
    say "$said"
    return "$code"
}

# Lets the running process of UNIT hand the broadcast over to the new release. 1: only a restart
# takes what has changed (unit files, the environment of settings that were replaced), or the
# running release does not know how. 2: the new release has failed, and the old one is on air as
# before.
upgrade() {
    local unit=$1 channel=main said
    [[ $previous && ! $env_sum && -x $ROOT/current/bin/tgs-ctl ]] || return 1
    # A broadcast that is not well is restarted: that check compares its state with the one before.
    (exec 9>&- && exec "$ROOT/current/bin/tgs-check-active" "$unit" --stable 1 --timeout 5 >/dev/null 2>&1) || return 1
    diff --recursive --brief "$(directory "$previous")/systemd" "$ROOT/$new/systemd" >/dev/null || return 1
    [[ $unit != *@* ]] || { channel=${unit#*@} && channel=${channel%.service}; }
    said=$(exec 9>&- && exec timeout 90 "$ROOT/current/bin/tgs-ctl" --channel "$channel" upgrade 2>&1) || {
        [[ $said != *'the old one goes on'* ]] || { say "$unit: $said" && return 2; }
        say "$unit is restarted instead of upgraded: $said"
        return 1
    }
    say "$unit: $said"
}

# Brings the new release into UNIT, by an upgrade where that is possible, and checks that it stays
# up.
renew() {
    local unit=$1 seconds=$2 code=0
    upgrade "$unit" || code=$?
    # The way back leaves alone what was not interrupted.
    ((code != 2)) || return 1
    touched+=("$unit")
    if ((code == 0)); then
        check "$unit" --stable "$seconds" --timeout $((timeout + seconds))
    else
        restart "$unit" "$seconds" healthz
    fi
}

# Restarts UNIT and checks that it is up and stays up for SECONDS.
restart() {
    local unit=$1 seconds=$2 options=()
    # A running unit must afterwards be healthy or report its present state. A stopped one may wait
    # for its session.
    [[ $3 ]] && systemctl --quiet is-active "$unit" || options=(--active-only)
    # A release without --active-only never checks /healthz by itself.
    [[ ${options[*]} != --active-only || $("$ROOT/current/bin/tgs-check-active" --help) == *--active-only* ]] || options=()
    check "$unit" --restart --stable "$seconds" --timeout $((timeout + seconds)) "${options[@]}"
}

# Units change one after another: if one fails, the next still runs the old release. The first is
# watched long enough for a late failure to show; then the others follow and are watched together.
start_new() {
    local unit job jobs=() seconds=$stable bad=''
    for unit in "${judged[@]}"; do
        renew "$unit" "$seconds" || return 1
        seconds=$((stable < 5 ? stable : 5))
    done
    if ((${#judged[@]} > 1)); then
        for unit in "${judged[@]}"; do
            check "$unit" --active-only --stable "$stable" --timeout $((stable + 5)) &
            jobs+=("$!")
        done
        for job in "${jobs[@]}"; do
            wait "$job" || bad=1
        done
        [[ ! $bad ]] || return 1
    fi
    for unit in "${others[@]}"; do
        touched+=("$unit")
        restart "$unit" 5 '' || say "$unit did not run before either, so this release is not to blame"
    done
}

# Rolls back to the previous release. Runs without `set -e`: each error is checked.
roll_back() {
    local unit job jobs=() bad=''
    swapped=''
    if [[ ! $previous ]]; then
        say "FAILED: $new does not stay up, and there is no release before it to go back to; it stays where it is"
        rm -f "$UNPROVEN"
        [[ ! $env_sum ]] || env_work keep "$ROOT/shared/.env" </dev/null
        return
    fi
    say "$new failed; going back to $previous"
    swap_to "$previous" || bad=1
    restore_env || bad='env'
    unlink_over
    unlink_missing
    systemctl daemon-reload || bad=${bad:-1}
    # All at once, to keep the outage short.
    for unit in "${touched[@]}"; do
        if [[ -x $ROOT/current/bin/tgs-check-active ]]; then
            restart "$unit" 5 '' &
        else
            systemctl restart "$unit" &
        fi
        jobs+=("$!")
    done
    for job in "${jobs[@]}"; do
        wait "$job" || bad=${bad:-1}
    done
    note back
    # The mark makes the next run restore the settings if that failed here.
    [[ $bad == 'env' ]] || rm -f "$UNPROVEN"
    if [[ $bad ]]; then
        say "FAILED: $new does not stay up; current is $(readlink "$ROOT/current") again, but not everything runs: see above"
    else
        say "FAILED: $new does not stay up; $previous runs again"
        remove_release "$new"
    fi
}

# ── Clean-up ──────────────────────────────────────────────────────────────────────────────────────

# Whether a process of the release runs.
in_use() {
    local exe
    for exe in /proc/[0-9]*/exe; do
        [[ $(readlink "$exe" 2>/dev/null || :) != "$ROOT/$1"/* ]] || return 0
    done
    return 1
}

remove_release() {
    if in_use "$1"; then
        say "kept $1: a process runs from it"
    else
        rm -rf "${ROOT:?}/$1" || say "$1 could not be removed"
    fi
}

prune() {
    local name kept=0
    while read -r name; do
        name=releases/$name
        if ((++kept > keep)) && [[ $name != "$new" && $name != "$previous" ]]; then
            remove_release "$name"
        fi
    done < <(find "$ROOT/releases" -mindepth 1 -maxdepth 1 -type d ! -name '.*' -printf '%T@ %f\n' | sort -rn | cut -d' ' -f2-)
}

# A failure before the swap changes nothing.
take_back() {
    local now
    now=$(readlink "$ROOT/current")
    now=${now#"$ROOT"/}
    [[ $new != "$now" ]] || return 0
    if ! restore_env; then
        # The mark stays, so that the next run restores them.
        :
    elif [[ $previous && $now != "$previous" ]]; then
        mark_unproven "$previous" "$now"
    else
        rm -f "$UNPROVEN"
    fi
    remove_release "$new"
}

on_exit() {
    local code=$?
    trap - EXIT
    set +e
    if [[ $swapped ]]; then
        roll_back
        ((code)) || code=1
    elif ((code)) && [[ $new ]]; then
        take_back
    fi
    rm -rf "$ROOT"/releases/.new.*
    exit "$code"
}

next_steps() {
    local as="runuser -u $ACCOUNT --"
    say "$new is in place, and nothing runs yet: there are no settings. Next, on this host, as root:"
    say "  put API_ID, API_HASH and CHAT_ID into a file, and deploy with --env FILE, or:"
    say "  $as sh -c 'umask 077 && cat >$ROOT/shared/.env' <FILE"
    say "  $as $ROOT/current/bin/tgs-session --env-file $ROOT/current/.env --write-env"
    say "  systemctl start $MAIN"
}

main() {
    local name
    export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
    umask 022
    read_options "$@"
    ((EUID == 0)) || die "this must run as root"
    # The reader may have disconnected.
    trap '' HUP PIPE
    trap 'exit 143' TERM INT
    take_lock
    trap on_exit EXIT

    prepare
    unpack
    find_units
    settings
    prove_settings

    swapped=1
    swap_to "$new"
    link_files
    systemctl daemon-reload
    if is_masked; then
        say "$MAIN is masked; run: systemctl unmask $MAIN"
        exit 1
    fi
    enable_units
    add_main_unit
    if ! start_new; then
        exit 1
    fi
    swapped=''
    rm -f "$UNPROVEN"
    note 'done'
    [[ ! $env_sum ]] || env_work keep "$ROOT/shared/.env" </dev/null || :
    # Desk and bot are no part of the verdict: they are no reason to roll a broadcast back.
    for name in tg_video_web tg_video_bot; do
        if [[ -e $UNIT_DIR/$name.service ]]; then
            systemctl try-restart "$name.service" || say "$name does not start: journalctl -u $name"
        fi
    done
    unlink_missing
    prune
    if [[ ${judged[*]} ]]; then
        say "$new runs: ${judged[*]}"
    elif [[ ! -e $ROOT/current/.env ]]; then
        next_steps
    else
        say "$new is in place; nothing ran before, so nothing was started: systemctl start $MAIN"
    fi
    if [[ -e $ROOT/current/systemd/yt-dlp-update.service && ! -e $ROOT/shared/ytdlp/current ]]; then
        say "there is no yt-dlp yet, and its timer brings one on Sunday; to have it now: systemctl start yt-dlp-update"
    fi
}

main "$@"
