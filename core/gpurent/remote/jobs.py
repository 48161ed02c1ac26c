"""Jobs on a machine: the job script; the commands that write, check and stop it through its files; their parsers.

A job's script, log, exit code and pid are in `Job.state_dir`, whichever session backend runs it.
"""

from __future__ import annotations

import re
import shlex
from base64 import b64decode
from datetime import UTC, datetime

from attrs import evolve

from gpurent.domain.job import SESSION_NAME_PATTERN, Job, JobState, JobStatus
from gpurent.domain.machine_folders import find_own_folders
from gpurent.errors import UnavailableError, UsageError
from gpurent.locale import _
from gpurent.remote import timer_script
from gpurent.remote.job_secrets import make_pipe_command, make_receiver
from gpurent.remote.own_folders import make_own_folders_script
from gpurent.remote.shell import fill_template, split_after_marks
from gpurent.roles.shell_door import RESTORE_HOME
from gpurent.terminal_text import strip_terminal

TAIL_LINES = 5
EARLIER_NAME = "earlier"
"""The file in a job's folder with the results that count only if they change, one a line."""

# Whether the process that wrote the pid file still exists under that pid and is not a zombie.
_ALIVE = r"""
alive() {
  kill -0 "$pid" 2>/dev/null || return 1
  now=$(awk '{print ($3 == "Z") ? "dead" : $22}' "/proc/$pid/stat" 2>/dev/null)
  [ -z "$now" ] || [ "$now" = "${born:-$now}" ] && [ "$now" != dead ]
}
pid=$(cat pid 2>/dev/null); born=$(cat born 2>/dev/null)
"""

# Reads the job's files. Without a pid long after the start, the job died before it could write one.
_STATUS_SCRIPT = rf"""
cd "$HOME/@room@" 2>/dev/null || {{ echo absent; exit 0; }}
[ -d started ] || {{ echo absent; exit 0; }}
echo "begun $(cat begun 2>/dev/null)"
if [ -f exit ]; then echo "exit $(cat exit)"; exit 0; fi
{_ALIVE}
if [ -z "$pid" ]; then
  if [ -n "$(find started -prune -mmin +1 2>/dev/null)" ]; then echo lost; else echo starting; fi
  exit 0
fi
if alive; then echo running; exit 0; fi
if [ -f exit ]; then echo "exit $(cat exit)"; else echo lost; fi
"""

# Kills the whole group, including processes that outlive the leader. Writes exit code 137 only if SIGKILL left none.
_STOP_SCRIPT = rf"""
cd "$HOME/@room@" 2>/dev/null || exit 0
[ -f exit ] && exit 0
{_ALIVE}
[ -n "$pid" ] && alive || exit 0
left() {{ kill -0 -"$pid" 2>/dev/null || kill -0 "$pid" 2>/dev/null; }}
kill -TERM -"$pid" 2>/dev/null || kill -TERM "$pid" 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do left || exit 0; sleep 0.3; done
kill -KILL -"$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null
[ -f exit ] || {{ echo "137 $(date +%s)" 1<> exit.new && mv exit.new exit; }}
"""

_LOG_MARK = "gpurent-log-follows"
_STATES_BY_WORD = {
    "absent": JobState.ABSENT,
    "starting": JobState.RUNNING,
    "running": JobState.RUNNING,
    "lost": JobState.LOST,
}


def write_script_command(job: Job) -> str:
    """Return the command that writes the job's script from stdin.

    It exits with `timer_script.CLOSING_STATUS` if no job may start any more, and as `own_folders` says.
    """
    room = shlex.quote(job.state_dir)
    folders = make_own_folders_script(find_own_folders(job.state_dir), find_own_folders(job.folder))
    pipe = f"{make_pipe_command(job.state_dir)} && " if job.secrets else ""
    names = " ".join(shlex.quote(f"./{name}") for name in job.earlier)
    earlier = f"printf '%s\\n' {names} > \"$HOME\"/{room}/{EARLIER_NAME} && " if names else ""
    return (
        f'{timer_script.closing_gate()}{folders}umask 077; {pipe}{earlier}cat > "$HOME"/{room}/run.sh.$$ '
        f'&& mv "$HOME"/{room}/run.sh.$$ "$HOME"/{room}/run.sh'
    )


def unfinished_jobs_command() -> str:
    """Return the command that prints the names of the jobs that were started and have left no exit code."""
    return (
        'cd "$HOME/.gpurent/jobs" 2>/dev/null || exit 0; for job in *; do '
        '[ -d "$job/started" ] && [ ! -f "$job/exit" ] && echo "$job"; done; true'
    )


def parse_job_names(output: str) -> list[str]:
    return [line for line in output.splitlines() if re.fullmatch(SESSION_NAME_PATTERN, line)]


def status_command(name: str) -> str:
    """Return the command that reads the job's status from its files; see `parse_status`."""
    return fill_template(_STATUS_SCRIPT, room=_job_dir(name))


def parse_status(output: str) -> JobStatus:
    """Parse the status; raises `UnavailableError` if the output is not recognized."""
    lines = [line.split() for line in output.splitlines() if line.strip()]
    begun = next((_parse_time(line[1]) for line in lines if line[0] == "begun" and len(line) > 1), None)
    last = lines[-1] if lines else ["absent"]
    if last[0] == "exit":
        code = _parse_number(last[1]) if len(last) > 1 else None
        ended = _parse_time(last[2]) if len(last) > 2 else None
        return JobStatus(state=JobState.ENDED, exit_code=code, started_at=begun, ended_at=ended)
    if last[0] not in _STATES_BY_WORD:
        raise _unreadable_error()
    return JobStatus(state=_STATES_BY_WORD[last[0]], started_at=begun)


def tail_command(name: str) -> str:
    """Return the command that prints the end of the job's output; see `explain_end`."""
    return f'tail -n {TAIL_LINES} "$HOME"/{_job_dir(name)}/log'


def explain_end(status: JobStatus, tail: str) -> JobStatus:
    """Return ``status`` of a failed job with a reason."""
    what = {126: _("the command is not executable"), 127: _("command not found")}.get(
        status.exit_code or 0, ""
    )
    words = " | ".join(strip_terminal(tail).split("\n")).strip(" |")
    return evolve(status, reason="; ".join(part for part in (what, words) if part)[:600])


def log_command(name: str, offset: int, limit: int) -> str:
    """Return the command that prints up to ``limit`` bytes of output from byte ``offset``; see `parse_log`."""
    return (
        f'cd "$HOME"/{_job_dir(name)} && [ -f log ] && echo {_LOG_MARK} && '
        f"tail -c +{offset + 1} log | head -c {limit} | base64"
    )


def parse_log(output: str) -> bytes:
    """Decode the output, empty if there is no log yet; raises `UnavailableError` if it is truncated."""
    parts = split_after_marks(output, _LOG_MARK)
    try:
        return b64decode(parts[0]) if parts else b""
    except ValueError:
        raise _unreadable_error() from None


_TAIL_MARK = "gpurent-tail-begins"


def tail_offset_command(name: str, lines: int) -> str:
    """Return the command that says where the last ``lines`` of the output begin; see `parse_tail_offset`."""
    return (
        f'cd "$HOME"/{_job_dir(name)} && [ -f log ] && size=$(wc -c < log) && '
        f"tail=$(head -c $size log | tail -n {lines} | wc -c) && echo {_TAIL_MARK} $((size - tail))"
    )


def parse_tail_offset(output: str) -> int:
    """Parse the byte offset; 0 if there is no log yet."""
    found = re.search(rf"^{_TAIL_MARK} ([0-9]{{1,18}})\s*$", output, re.MULTILINE)
    return int(found[1]) if found else 0


def stop_command(name: str) -> str:
    """Return the command that kills the job and all its processes; it does nothing if there is none."""
    return fill_template(_STOP_SCRIPT, room=_job_dir(name))


def _job_dir(name: str) -> str:
    if not re.fullmatch(SESSION_NAME_PATTERN, name):
        raise UsageError(_("invalid session name: {name}").format(name=repr(name)[:60]))
    return f".gpurent/jobs/{name}"


def _unreadable_error() -> UnavailableError:
    return UnavailableError(_("unexpected answer from the machine about the job"), retryable=True)


def _parse_number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,10}", text) else None


def _parse_time(text: str) -> datetime | None:
    seconds = _parse_number(text)
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


# It starts with an atomic mkdir, so that a job never runs twice. The job runs in its own session (setsid, if
# available): neither the terminal's hangup nor a Ctrl-C typed there reaches it, and its signal handlers are the default
# ones (by env, because a shell cannot reset an ignored signal for its children). The terminal only shows the log. The
# leader survives a SIGTERM to its group, so that it can record the command's exit code, also on a disk that is full by
# then: the file has its block from the start, and is written over without being emptied first. The job's variables are
# those of the subshell alone, whatever their names.
_RUN_SCRIPT = r"""#!/bin/sh
cd "$HOME/@room@" || exit 1
mask=$(umask); umask 077
mkdir started 2>/dev/null || exit 0
trap '' HUP INT QUIT
date +%s > begun
printf '%64s\n' '' > exit.new
: > log
cat > job.sh <<'@end@'
room=$1 mask=$2
trap : TERM
awk '{print $22}' /proc/$$/stat > "$room/born" 2>/dev/null
echo $$ > "$room/pid.new" && mv "$room/pid.new" "$room/pid"
set -- "$mask" "$HOME"
@restore@
export PYTHONUNBUFFERED=1
(
  @secrets@
  @env@
  umask "$1"
  cd "$2" && cd @folder@ || exit 126
  set --
  eval @command@
)
code=$?
echo "$code $(date +%s)" 1<> "$room/exit.new" && mv "$room/exit.new" "$room/exit"
@end@
apart() {
  env --default-signal=INT true 2>/dev/null && set -- env --default-signal=HUP,INT,QUIT "$@"
  command -v setsid >/dev/null 2>&1 && exec setsid "$@"
  for python in python3 python; do
    "$python" -c '' 2>/dev/null || continue
    exec "$python" -c 'import os, sys; os.setsid(); os.execvp(sys.argv[1], sys.argv[1:])' "$@"
  done
  perl -e 1 2>/dev/null && exec perl -MPOSIX -e 'POSIX::setsid(); exec @ARGV' "$@"
  exec "$@"
}
apart sh job.sh "$PWD" "$mask" >> log 2>&1 < /dev/null &
if tail --version >/dev/null 2>&1; then
  tail -n +1 --pid=$! -f log 2>/dev/null
  wait $!
else
  tail -n +1 -f log & shown=$!
  wait %1 2>/dev/null
  while [ ! -f exit ] && kill -0 "$(cat pid 2>/dev/null)" 2>/dev/null; do sleep 1; done
  kill $shown
fi
"""


def make_run_script(job: Job) -> str:
    """Return the text of ``run.sh`` for ``job``; all values are quoted; the command is evaluated as a shell line."""
    env = "\n".join(f"export {name}={shlex.quote(value)}" for name, value in sorted(job.env.items()))
    parts = {
        "room": job.state_dir,
        "env": env,
        "restore": RESTORE_HOME,
        "secrets": make_receiver() if job.secrets else "",
        "folder": shlex.quote(job.folder),
        "command": shlex.quote(job.command),
    }
    end = "GPURENT_END_OF_JOB"
    while end in "".join(parts.values()):
        end += "_"
    parts["end"] = end
    return fill_template(_RUN_SCRIPT, **parts)
