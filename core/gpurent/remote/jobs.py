"""Jobs on a machine: a keeper's strings run over a link; log, exit code and pid in files beside them."""

from __future__ import annotations

import asyncio
import re
import shlex
from base64 import b64decode
from collections.abc import Sequence
from datetime import UTC, datetime
from time import monotonic

from attrs import evolve

from gpurent.domain.session import NAME, Job, JobState, JobStatus, SessionInfo
from gpurent.domain.terminal_text import strip_terminal
from gpurent.errors import JobError, UnavailableError, UsageError
from gpurent.locale import _
from gpurent.ports.connection import SshConnection
from gpurent.remote import timer_script
from gpurent.remote.job_script import run_script
from gpurent.roles.session import SessionBackend

START = 15.0
TAIL = 5
INSTALL = 600.0

# Whether the process that wrote its pid is still that process, and no zombie.
_ALIVE = r"""
alive() {
  kill -0 "$pid" 2>/dev/null || return 1
  now=$(awk '{print ($3 == "Z") ? "dead" : $22}' "/proc/$pid/stat" 2>/dev/null)
  [ -z "$now" ] || [ "$now" = "${born:-$now}" ] && [ "$now" != dead ]
}
pid=$(cat pid 2>/dev/null); born=$(cat born 2>/dev/null)
"""

# One look at the job's files. No pid long after the start: it ended before it could write one.
_STATUS = rf"""
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

# The whole group, also who outlives its leader. Only what was killed so hard that it left no exit code gets one here.
_STOP = rf"""
cd "$HOME/@room@" 2>/dev/null || exit 0
[ -f exit ] && exit 0
{_ALIVE}
[ -n "$pid" ] && alive || exit 0
left() {{ kill -0 -"$pid" 2>/dev/null || kill -0 "$pid" 2>/dev/null; }}
kill -TERM -"$pid" 2>/dev/null || kill -TERM "$pid" 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do left || exit 0; sleep 0.3; done
kill -KILL -"$pid" 2>/dev/null || kill -KILL "$pid" 2>/dev/null
[ -f exit ] || {{ echo "137 $(date +%s)" > exit.new && mv exit.new exit; }}
"""

_LOG_FOLLOWS = "gpurent-log-follows"


class Jobs:
    """Bound to one link and one keeper of sessions. ``install_prefix`` is the machine's package command."""

    def __init__(self, link: SshConnection, keeper: SessionBackend, install_prefix: str = "") -> None:
        self._link = link
        self._keeper = keeper
        self._prefix = install_prefix

    async def ready(self) -> None:
        """The keeper's tool is there, installed now if it was missing (row R3)."""
        if not (await self._link.run(self._keeper.probe())).status:
            return
        if not self._prefix:
            raise JobError(
                _("the session tool is missing on the machine, and nothing can be installed there")
            )
        ran = await self._link.run(self._keeper.install(self._prefix), timeout=INSTALL)
        if ran.status or (await self._link.run(self._keeper.probe())).status:
            said = _words(ran.err or ran.out).rpartition("\n")[2][:200]
            raise JobError(
                _("the session tool could not be installed: {said}").format(said=said or ran.status),
                hint=_("Try another one: --session"),
                detail=said,
            )

    async def start(self, job: Job) -> JobStatus:
        """Start ``job`` under its name, once: called again, from anywhere, it only tells how the first start stands."""
        status = await self.status(job.name)
        if status.state is not JobState.ABSENT:
            return status
        await self.ready()
        room = shlex.quote(job.room)
        ran = await self._link.run(
            f'{timer_script.gate()}umask 077; mkdir -p "$HOME"/{room} && cat > "$HOME"/{room}/run.sh.$$ '
            f'&& mv "$HOME"/{room}/run.sh.$$ "$HOME"/{room}/run.sh',
            input=run_script(job),
        )
        if ran.status == timer_script.CLOSING:
            raise JobError(
                _("the machine's timer is about to shut it; nothing new starts"),
                hint=_("Give it more time: gpurent timer LEASE --extend 2h"),
            )
        if ran.status:
            raise JobError(
                _("the job's files could not be written: {said}").format(said=_words(ran.err)[:200]),
                hint=_("Is the machine's disk full?"),
                detail=_words(ran.err),
            )
        ran = await self._link.run(self._keeper.start(job.name, f"{job.room}/run.sh"))
        return await self._started(job, _words(ran.err or ran.out))

    async def _started(self, job: Job, said: str) -> JobStatus:
        deadline = monotonic() + START
        while monotonic() < deadline:
            status = await self.status(job.name)
            if status.state is not JobState.ABSENT:
                return status
            await asyncio.sleep(0.1)
        raise JobError(
            _("the session {name} did not begin").format(name=job.name),
            detail=said[:500],
            hint=_("The session tool said: {said}").format(said=said[:200] or "-"),
        )

    async def status(self, name: str) -> JobStatus:
        """How the job stands by its own files."""
        ran = await self._link.run(_STATUS.replace("@room@", self._room(name)))
        words = [line.split() for line in ran.out.splitlines() if line.strip()]
        begun = next((_time(line[1]) for line in words if line[0] == "begun" and len(line) > 1), None)
        last = words[-1] if words else ["absent"]
        if last[0] == "exit":
            code = _number(last[1]) if len(last) > 1 else None
            ended = _time(last[2]) if len(last) > 2 else None
            return JobStatus(state=JobState.ENDED, exit_code=code, started_at=begun, ended_at=ended)
        state = {
            "absent": JobState.ABSENT,
            "starting": JobState.RUNNING,
            "running": JobState.RUNNING,
            "lost": JobState.LOST,
        }
        if last[0] not in state:
            raise UnavailableError(_("the machine gave no sensible answer about the job"), retryable=True)
        return JobStatus(state=state[last[0]], started_at=begun)

    async def settle(self, name: str, seconds: float) -> JobStatus:
        """Look for ``seconds`` whether the job ends at once; if it failed, with the log's last words as the reason."""
        deadline = monotonic() + seconds
        while True:
            status = await self.status(name)
            if status.state is JobState.ENDED:
                return await self._explained(name, status)
            if monotonic() >= deadline:
                return status
            await asyncio.sleep(0.15)

    async def _explained(self, name: str, status: JobStatus) -> JobStatus:
        if not status.exit_code:
            return status
        ran = await self._link.run(f'tail -n {TAIL} "$HOME"/{self._room(name)}/log')
        what = {126: _("it cannot be executed"), 127: _("there is no such command")}.get(status.exit_code, "")
        said = " | ".join(strip_terminal(ran.out).split("\n")).strip(" |")
        reason = "; ".join(part for part in (what, said) if part)
        return evolve(status, reason=reason[:600])

    async def log(self, name: str, offset: int = 0, limit: int = 1 << 20) -> bytes:
        """Up to ``limit`` bytes of the job's output from byte ``offset``; empty at its present end."""
        room = self._room(name)
        # What the machine's own start files print comes before the mark.
        ran = await self._link.run(
            f'cd "$HOME"/{room} && [ -f log ] && echo {_LOG_FOLLOWS} && '
            f"tail -c +{int(offset) + 1} log | head -c {int(limit)} | base64"
        )
        try:
            return b64decode(ran.out.rpartition(f"{_LOG_FOLLOWS}\n")[2]) if _LOG_FOLLOWS in ran.out else b""
        except ValueError:
            raise UnavailableError(
                _("the machine gave no sensible answer about the job"), retryable=True
            ) from None

    async def listing(self) -> Sequence[SessionInfo]:
        """The keeper's own sessions."""
        return self._keeper.parse((await self._link.run(self._keeper.listing())).out)

    async def session(self, name: str) -> SessionInfo:
        """The session called ``name``, or with that id."""
        found = [info for info in await self.listing() if name in (info.name, info.id)]
        if not found:
            raise UsageError(
                _("no session is called {name}").format(name=name), hint=_("See: gpurent sessions LEASE")
            )
        return found[0]

    async def stop(self, name: str) -> None:
        """End the job, then its session; silent when there is none."""
        await self._link.run(_STOP.replace("@room@", self._room(name)))
        for info in await self.listing():
            if info.name == name:
                await self._link.run(self._keeper.stop(info))

    @property
    def leave_hint(self) -> str:
        """How a person leaves an attached session without ending it."""
        return self._keeper.hint()

    def attach_command(self, session: SessionInfo) -> str:
        return self._keeper.attach(session)

    def _room(self, name: str) -> str:
        if not re.fullmatch(NAME, name):
            raise UsageError(_("{name} is no name for a session").format(name=repr(name)[:60]))
        return f".gpurent/jobs/{name}"


def _words(text: str) -> str:
    return strip_terminal(text).strip()


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch("[0-9]{1,10}", text) else None


def _time(text: str) -> datetime | None:
    seconds = _number(text)
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
