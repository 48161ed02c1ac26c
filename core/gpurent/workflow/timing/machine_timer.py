"""The timer inside a machine, over a line: armed, moved, ended, read. Deadlines are provider time.

The journal remembers what was armed last, so that listings can say it without asking the machine.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gpurent.domain.timer import Timer
from gpurent.errors import RemoteError, Spent
from gpurent.locale import _
from gpurent.locale.spans import span_text

if TYPE_CHECKING:
    from gpurent.domain.lease import Lease
    from gpurent.ports.connection import CommandResult, SshConnection
    from gpurent.remote.timer_script import Setting
    from gpurent.workflow.connection.reconnecting import ReconnectingConnection
    from gpurent.workflow.runtime.desk import Desk
    from gpurent.workflow.runtime.state import Records

GRACE = timedelta(minutes=2)
LOOK = timedelta(seconds=30)
_SCOPE = "timer"
_UNIT = timedelta(milliseconds=10)


async def arm(
    line: ReconnectingConnection,
    lease: Lease,
    until: datetime,
    *,
    grace: timedelta = GRACE,
    after_job: timedelta | None = None,
) -> Timer:
    """The machine of ``lease`` shuts itself at ``until``. Armed already: its deadline is moved, to earlier too.

    No job starts in the last ``grace``. ``after_job``: it fires this long after the last job's end, if that is earlier.
    A machine on which it cannot run is a `RemoteError`.
    """
    return await _arm(line, lease, until, grace, after_job, later=False)


async def extend(
    line: ReconnectingConnection,
    lease: Lease,
    until: datetime,
    *,
    grace: timedelta = GRACE,
    after_job: timedelta | None = None,
) -> Timer:
    """As `arm`, but a deadline that is later already stays."""
    return await _arm(line, lease, until, grace, after_job, later=True)


async def disarm(line: ReconnectingConnection) -> Timer:
    """No timer from here on; silent when there is none."""
    from gpurent.remote import timer_script

    return await _ask(line, timer_script.disarm())


async def state(line: ReconnectingConnection) -> Timer:
    """What runs in the machine now, whatever the journal remembers."""
    from gpurent.remote import timer_script

    return await _ask(line, timer_script.state())


def remembered(records: Records, lease: Lease) -> datetime | None:
    """The deadline as it was last armed or read from here; None for no timer, or a lease that is over."""
    noted = records.journal.note(_SCOPE, lease.id)
    return datetime.fromisoformat(noted) if noted and not lease.over else None


async def _arm(
    line: ReconnectingConnection,
    lease: Lease,
    until: datetime,
    grace: timedelta,
    after_job: timedelta | None,
    *,
    later: bool,
) -> Timer:
    from gpurent.remote import timer_script

    setting = _setting(line.desk, lease, until, grace, after_job)
    program = timer_script.program(setting)

    async def go(link: SshConnection) -> Timer:
        # Counted anew for each try: a line that was cut and came back has cost time.
        fresh = _setting(line.desk, lease, until, grace, after_job)
        return _read(line.desk, await link.run(timer_script.arm(fresh, later=later), input=program))

    timer = await line.do(go)
    if not timer.armed:
        raise RemoteError(
            _("the timer in {lease} does not run").format(lease=lease.id),
            hint=_("Nothing inside the machine will shut it."),
            spent=Spent.NO,
        )
    return _remember(line, timer)


def _setting(
    desk: Desk, lease: Lease, until: datetime, grace: timedelta, after_job: timedelta | None
) -> Setting:
    from gpurent.remote.timer_script import LONGEST_NAP, Setting

    return Setting(
        span=max(0, (desk.clock.to_wall(until) - datetime.now(UTC)) // _UNIT),
        grace=_real(desk, grace),
        after=_real(desk, after_job) if after_job else 0,
        stop=desk.profile_of(lease).stop_script,
        warning=_("gpurent: the timer shuts this machine within {span}; nothing new starts").format(
            span=span_text(grace)
        ),
        moved=_("gpurent: the timer was moved; the machine goes on"),
        look=min(LONGEST_NAP, _real(desk, LOOK)),
    )


def _real(desk: Desk, span: timedelta) -> int:
    """A span of provider time as the machine's own hundredths of a second; at least one."""
    now = desk.clock.now()
    return max(1, (desk.clock.to_wall(now + span) - desk.clock.to_wall(now)) // _UNIT)


async def _ask(line: ReconnectingConnection, command: str) -> Timer:
    async def go(link: SshConnection) -> Timer:
        return _read(line.desk, await link.run(command))

    return _remember(line, await line.do(go))


def _read(desk: Desk, ran: CommandResult) -> Timer:
    from gpurent.remote.timer_script import parse

    found = parse(ran.out)
    if found is None:
        raise RemoteError(
            _("the machine gave no sensible answer about its timer: {said}").format(
                said=(ran.err or ran.out).strip()[:200] or ran.status
            ),
            hint=_("Is the machine's disk full?"),
            spent=Spent.NO,
        )
    if found.left is None:
        return Timer()
    return Timer(until=desk.clock.from_wall(datetime.now(UTC) + found.left * _UNIT), closing=found.closing)


def _remember(line: ReconnectingConnection, timer: Timer) -> Timer:
    line.desk.journal.put_note(_SCOPE, line.lease.id, timer.until.isoformat() if timer.until else "")
    return timer
