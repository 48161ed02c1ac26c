#!/bin/sh
# Sees to the system packages that the sandbox and the tests use. Root with apt-get: installs what is missing.
# Anyone else: one line says what to install. With --strict, a package that stays missing is a failure.
# A Python that cannot make virtual environments is always one.
set -eu

python=${PYTHON:-python3}
PATH=$PATH:/usr/sbin:/sbin

missing() {
    have screen || printf ' screen'
    have tmux || printf ' tmux'
    have dtach || printf ' dtach' # what examples/plugins/dtach is about
    have sshd || printf ' openssh-server'
    have ssh && have ssh-keygen || printf ' openssh-client'
    have bwrap || printf ' bubblewrap'
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 || printf ' python3-venv'
}

wished() { # other people's SFTP clients and shells, another set of tools: the tests that use them are skipped without
    have busybox || printf ' busybox'
    have fish || printf ' fish' # login shells of tests/machines
    have zsh || printf ' zsh'
    have tcsh || printf ' tcsh'
    have lftp || printf ' lftp'
    have rclone || printf ' rclone'
}

have() { command -v "$1" >/dev/null 2>&1; }

install() {
    log=$(mktemp)
    policy=/usr/sbin/policy-rc.d
    if [ -e "$policy" ]; then policy=; else # keeps apt from starting an SSH service on this computer
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
    fi
    trap '[ -z "$policy" ] || rm -f "$policy"; rm -f "$log"' EXIT
    trap 'exit 130' INT TERM
    echo "installing system packages:$1"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of names, to be split
    apt-get install -y --no-install-recommends $1 >"$log" 2>&1 || {
        apt-get update >"$log" 2>&1 || true
        apt-get install -y --no-install-recommends $1 >>"$log" 2>&1 || tail -n 15 "$log" >&2
    }
}

names=$(missing)
extra=$(wished)
if [ -n "$names$extra" ] && [ "$(id -u)" = 0 ] && have apt-get; then
    [ -z "$names" ] || install "$names"
    [ -z "$extra" ] || install "$extra"
    names=$(missing)
fi
[ -n "$names" ] || exit 0

sudo=$([ "$(id -u)" = 0 ] || echo 'sudo ')
echo "missing system packages:$names   ->   ${sudo}apt-get install -y --no-install-recommends$names" >&2
case "${1:-} $names" in *--strict* | *python3-venv*) exit 1 ;; esac
