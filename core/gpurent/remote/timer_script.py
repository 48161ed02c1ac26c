"""The timer inside a machine: a small POSIX shell program, and the commands that arm, move, disarm and read it.

Its files are in ``~/.gpurent/timer``: ``deadline`` ("due grace after", replaced atomically), ``pid`` ("pid mark"),
``closing`` (exists during the grace period) and ``log``. Times are hundredths of a second of the machine's uptime, so
that neither its clock nor ours has to be right; without /proc/uptime, its clock is used. A process is the timer only if
its pid, start time and boot id match. A timer that is not named in ``pid`` ends itself, so that two concurrent arm
commands leave only one.
"""

from __future__ import annotations

import re
import shlex

from attrs import frozen

from gpurent.domain.machine_folders import find_own_folders
from gpurent.remote.own_folders import make_own_folders_script
from gpurent.remote.shell import fill_template

UPTIME = "/proc/uptime"
TIMER_DIR = ".gpurent/timer"
MAX_CHECK_INTERVAL = 1000
_MARK = "gpurent-timer"

_COMMON_FUNCTIONS = r"""
now() {
  if read -r up _ 2>/dev/null < @uptime@; then now=$((${up%.*} * 100 + 1${up#*.} - 100))
  else now=$(date +%s)00; fi
}
mark() {
  if [ -d /proc/self ]; then
    set -- $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null)
    [ "${1:-Z}" = Z ] || echo "${20}-$(cat /proc/sys/kernel/random/boot_id 2>/dev/null)"
  else
    ps -o lstart= -p "$1" 2>/dev/null | tr ' ' -
  fi
}
alive() {
  read -r pid born 2>/dev/null < pid || return 1
  case $pid in '' | *[!0-9]*) return 1 ;; esac
  [ -n "$born" ] && [ "$(mark "$pid")" = "$born" ]
}
"""

_PROGRAM = r"""#!/bin/sh
# Shuts this machine when its deadline has passed. To end it: rm ~/.gpurent/timer/deadline
cd "$HOME/@room@" || exit 1
trap '' HUP INT QUIT
umask 077
PATH=$PATH:/usr/sbin:/sbin
@known@
nap() {
  cs=$1
  [ "$cs" -le @look@ ] || cs=@look@
  [ "$cs" -ge 5 ] || cs=5
  sleep "$((cs / 100)).$(printf %02d $((cs % 100)))" 2>/dev/null || sleep 1
}
tell() {
  echo "$1" >> log
  for room in ../jobs/*/; do
    [ -d "$room/started" ] && [ ! -f "$room/exit" ] && printf '\n%s\n' "$1" >> "$room/log"
  done
}
idle() {
  any=
  for room in ../jobs/*/; do
    [ -d "$room/started" ] || continue
    [ -f "$room/exit" ] || return 1
    any=yes
  done
  [ -n "$any" ]
}
power_off() {
  if [ "$(id -u)" = 0 ]; then shutdown -h now; else sudo -n shutdown -h now; fi
}
# The machine's own way first; every fourth time, and where there is none, the system's.
stop() {
  tries=$((tries + 1))
  echo "stopping, try $tries" >> log
  if [ -n "$stop" ] && [ $((tries % 4)) -ne 0 ]; then sh -c "$stop" >> log 2>&1 < /dev/null &
  else power_off >> log 2>&1 < /dev/null & fi
  child=$! waited=0
  while kill -0 $child 2>/dev/null && [ $waited -lt 60 ]; do sleep 1; waited=$((waited + 1)); done
  kill $child 2>/dev/null
  sleep @patience@
}
stop=@stop@ tries=0 ended=
rm -f closing
echo "$$ $(mark $$)" > pid.$$ && mv pid.$$ pid || exit 1
while :; do
  read -r owner _ 2>/dev/null < pid
  [ "$owner" = $$ ] || exit 0
  read -r due grace after 2>/dev/null < deadline || exit 0
  now
  if [ "$after" -gt 0 ] && idle; then
    ended=${ended:-$now}
    [ $((ended + after)) -ge "$due" ] || due=$((ended + after))
  else
    ended=
  fi
  left=$((due - now))
  if [ $left -le 0 ]; then
    stop
  elif [ $left -le "$grace" ]; then
    [ -e closing ] || { : > closing; tell @warning@; }
    nap $left
  else
    [ ! -e closing ] || { rm -f closing; tell @moved@; }
    nap $((left - grace))
  fi
done
"""

_REPORT_FUNCTION = r"""
report() {
  if alive && read -r due grace after 2>/dev/null < deadline; then
    now
    state=waiting
    [ ! -e closing ] || state=closing
    echo "@mark@ armed $((due - now)) $state"
  else
    echo "@mark@ off"
  fi
}
"""

# Standard input is the program. @later@ is "yes" if a later deadline must be kept.
_ARM_SCRIPT = r"""
@own@
umask 077
cd "$HOME/@room@" || exit 1
cat > timer.sh.$$ && mv timer.sh.$$ timer.sh || exit 1
@known@
@report@
now
due=$((now + @span@))
running=
if alive; then
  running=yes
  read -r before _ 2>/dev/null < deadline
  [ @later@ = no ] || [ "${before:-0}" -le $due ] || due=$before
fi
echo "$due @grace@ @after@" > deadline.$$ && mv deadline.$$ deadline || exit 1
if [ -z "$running" ]; then
  run=nohup
  ! command -v setsid >/dev/null 2>&1 || run=setsid
  $run sh timer.sh > /dev/null 2>&1 < /dev/null &
  tries=0
  until alive || [ $tries -ge 50 ]; do sleep 0.1 2>/dev/null || sleep 1; tries=$((tries + 1)); done
fi
report
"""

_DISARM_SCRIPT = r"""
cd "$HOME/@room@" 2>/dev/null || { echo "@mark@ off"; exit 0; }
@known@
@report@
rm -f deadline
if alive; then kill -TERM -"$pid" 2>/dev/null || kill -TERM "$pid" 2>/dev/null; fi
rm -f pid closing
report
"""

_STATE_SCRIPT = r"""
cd "$HOME/@room@" 2>/dev/null || { echo "@mark@ off"; exit 0; }
@known@
@report@
report
"""

_GATE = r"""
if ( cd "$HOME/@room@" 2>/dev/null || exit 1
@known@
[ -e closing ] && alive ); then exit @closing@; fi
"""

CLOSING_STATUS = 75
"""The exit status of `closing_gate` while the machine is about to be shut down."""


@frozen(kw_only=True)
class TimerSettings:
    """Spans in hundredths of a second: ``span`` from now to the stop, ``grace`` before it in which no job starts.

    ``after_job``: fire this long after the end of the last job, if that is earlier; 0 for never. ``stop_script`` is the
    machine's own, empty for ``shutdown``. ``closing_notice`` and ``moved_notice`` are written to the logs of running
    jobs. ``check_interval``: how often the files are checked. ``retry_seconds``: whole seconds between two attempts to
    stop.
    """

    span: int
    grace: int
    after_job: int = 0
    stop_script: str = ""
    closing_notice: str = ""
    moved_notice: str = ""
    check_interval: int = MAX_CHECK_INTERVAL
    retry_seconds: int = 10


@frozen(kw_only=True)
class TimerReading:
    """``left`` is in hundredths of a second, negative if the stop is overdue; None if no timer is running."""

    ticks_left: int | None = None
    closing: bool = False


def _fill_script(text: str, uptime: str, **parts: str | int) -> str:
    """Insert the snippets first: they contain placeholders themselves."""
    text = text.replace("@own@", make_own_folders_script(find_own_folders(TIMER_DIR)))
    text = text.replace("@known@", _COMMON_FUNCTIONS).replace("@report@", _REPORT_FUNCTION)
    given = {
        "room": TIMER_DIR,
        "mark": _MARK,
        "uptime": shlex.quote(uptime),
        "closing": CLOSING_STATUS,
        **parts,
    }
    return fill_template(text, **given)


def make_timer_program(setting: TimerSettings, uptime: str = UPTIME) -> str:
    """Return the text of ``timer.sh``."""
    return _fill_script(
        _PROGRAM,
        uptime,
        look=max(5, setting.check_interval),
        patience=setting.retry_seconds,
        stop=shlex.quote(setting.stop_script),
        warning=shlex.quote(setting.closing_notice),
        moved=shlex.quote(setting.moved_notice),
    )


def arm_command(setting: TimerSettings, *, later: bool = False, uptime: str = UPTIME) -> str:
    """Return the command that writes the program (stdin), sets the deadline, and starts the timer if none is running.

    ``later``: never move the deadline to an earlier time.
    """
    return _fill_script(
        _ARM_SCRIPT,
        uptime,
        span=setting.span,
        grace=setting.grace,
        after=setting.after_job,
        later="yes" if later else "no",
    )


def disarm_command(uptime: str = UPTIME) -> str:
    """Return the command that disarms the timer; it kills only a process whose mark matches."""
    return _fill_script(_DISARM_SCRIPT, uptime)


def state_command(uptime: str = UPTIME) -> str:
    return _fill_script(_STATE_SCRIPT, uptime)


def closing_gate() -> str:
    """Return shell text that exits with `CLOSING_STATUS` during a timer's grace period."""
    return _fill_script(_GATE, UPTIME)


def parse_timer(text: str) -> TimerReading | None:
    """Parse the output of `arm_command`, `disarm_command` and `state_command`; None if it is not theirs."""
    found = re.findall(rf"^{_MARK} (?:off|armed (-?\d{{1,18}}) (waiting|closing))\s*$", text, re.MULTILINE)
    if not found:
        return None
    left, how = found[-1]
    return TimerReading(ticks_left=int(left), closing=how == "closing") if left else TimerReading()
