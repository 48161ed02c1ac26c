"""The timer inside a machine, over a connection: armed, moved, ended, read. Deadlines are provider time.

The Store remembers what was armed last, so that listings can say it without asking the machine.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.time_left import Timer
from gpurent.errors import RemoteError, Spent
from gpurent.locale import _
from gpurent.locale.spans import span_text
from gpurent.ports.store import NoteStore
from gpurent.ports.system import ProviderClock
from gpurent.workflow.runtime.plugins import Plugins

if TYPE_CHECKING:
    from gpurent.ports.connection import CommandResult, SshConnection
    from gpurent.workflow.connection.reconnecting import ReconnectingConnection

GRACE = timedelta(minutes=2)
LOOK = timedelta(seconds=30)
_SCOPE = "timer"
_POLICY_SCOPE = "timer-by-policy"
_UNIT = timedelta(milliseconds=10)


@frozen(eq=False)
class MachineTimers:
    """Arms and reads the timers in our machines. A machine on which one cannot run is a `RemoteError`."""

    plugins: Plugins
    store: NoteStore
    clock: ProviderClock

    async def arm(
        self,
        connection: ReconnectingConnection,
        lease: Lease,
        until: datetime,
        *,
        grace: timedelta = GRACE,
        after_job: timedelta | None = None,
        by_policy: bool = False,
    ) -> Timer:
        """The machine of ``lease`` shuts itself at ``until``. Armed already: its deadline is moved, to earlier too.

        No job starts in the last ``grace``. ``after_job``: it fires this long after the last job's end, if that is
        earlier. ``by_policy``: nobody asked for this timer by hand, so the policy may also end it.
        """
        armed = await self._set(connection, lease, until, grace, after_job, later=False)
        self.store.put_note(_POLICY_SCOPE, lease.id, "yes" if by_policy else "")
        return armed

    async def extend(
        self,
        connection: ReconnectingConnection,
        lease: Lease,
        until: datetime,
        *,
        after_job: timedelta | None = None,
    ) -> Timer:
        """As `arm`, but a deadline that is later already stays, and so does who armed it."""
        return await self._set(connection, lease, until, GRACE, after_job, later=True)

    async def disarm(self, connection: ReconnectingConnection) -> Timer:
        """No timer from here on; silent when there is none."""
        from gpurent.remote import timer_script

        return await self._ask(connection, timer_script.disarm())

    async def state(self, connection: ReconnectingConnection) -> Timer:
        """What runs in the machine now, whatever the Store remembers."""
        from gpurent.remote import timer_script

        return await self._ask(connection, timer_script.state())

    def remembered(self, lease: Lease) -> datetime | None:
        """The deadline as it was last armed or read from here; None for no timer, or a lease that is over."""
        noted = self.store.note(_SCOPE, lease.id)
        return datetime.fromisoformat(noted) if noted and not lease.over else None

    def is_by_policy(self, lease: Lease) -> bool:
        """Whether a timer is remembered that a policy armed, and nobody by hand."""
        return self.remembered(lease) is not None and bool(self.store.note(_POLICY_SCOPE, lease.id))

    async def _set(
        self,
        connection: ReconnectingConnection,
        lease: Lease,
        until: datetime,
        grace: timedelta,
        after_job: timedelta | None,
        *,
        later: bool,
    ) -> Timer:
        from gpurent.remote import timer_script

        async def set_timer(ssh: SshConnection) -> Timer:
            # Counted anew for each try: a connection that was lost and came back has cost time.
            setting = timer_script.Setting(
                span=max(0, (self.clock.to_wall(until) - datetime.now(UTC)) // _UNIT),
                grace=self._to_units(grace),
                after=self._to_units(after_job) if after_job else 0,
                stop=self.plugins.profile_of(lease).stop_script,
                warning=_("gpurent: the timer shuts this machine within {span}; nothing new starts").format(
                    span=span_text(grace)
                ),
                moved=_("gpurent: the timer was moved; the machine goes on"),
                look=min(timer_script.LONGEST_NAP, self._to_units(LOOK)),
            )
            command = timer_script.arm(setting, later=later)
            return self._read(await ssh.run(command, input=timer_script.program(setting)))

        timer = await connection.do(set_timer)
        if not timer.armed:
            raise RemoteError(
                _("the timer in {lease} does not run").format(lease=lease.id),
                hint=_("Nothing inside the machine will shut it."),
                spent=Spent.NO,
            )
        return self._remember(lease.id, timer)

    def _to_units(self, span: timedelta) -> int:
        """A span of provider time as the machine's own hundredths of a second; at least one."""
        now = self.clock.now()
        return max(1, (self.clock.to_wall(now + span) - self.clock.to_wall(now)) // _UNIT)

    async def _ask(self, connection: ReconnectingConnection, command: str) -> Timer:
        ran = await connection.do(lambda ssh: ssh.run(command))
        return self._remember(connection.lease.id, self._read(ran))

    def _read(self, ran: CommandResult) -> Timer:
        from gpurent.domain.terminal_text import strip_terminal
        from gpurent.remote.timer_script import parse

        found = parse(ran.out)
        if found is None:
            raise RemoteError(
                _("the machine gave no sensible answer about its timer: {said}").format(
                    said=strip_terminal(ran.err or ran.out).strip()[:200] or ran.status
                ),
                hint=_("Is the machine's disk full?"),
                spent=Spent.NO,
            )
        if found.left is None:
            return Timer()
        until = self.clock.from_wall(datetime.now(UTC) + found.left * _UNIT)
        return Timer(until=until, closing=found.closing)

    def _remember(self, lease_id: str, timer: Timer) -> Timer:
        self.store.put_note(_SCOPE, lease_id, timer.until.isoformat() if timer.until else "")
        if not timer.armed:
            self.store.put_note(_POLICY_SCOPE, lease_id, "")
        return timer
