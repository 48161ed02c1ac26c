"""The timer inside a machine, over a connection: armed, moved, ended, read. Deadlines are provider time.

The Store remembers what was armed last, so that listings can say it without asking the machine.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.time_left import MachineTimer
from gpurent.errors import RemoteError, Spent
from gpurent.locale import _
from gpurent.locale.durations import format_duration
from gpurent.ports.store import NoteStore
from gpurent.ports.system import ProviderClock
from gpurent.workflow.runtime.plugins import Plugins

if TYPE_CHECKING:
    from gpurent.ports.connection import CommandResult, SshConnection
    from gpurent.workflow.connection.reconnecting import ReconnectingConnection

GRACE_PERIOD = timedelta(minutes=2)
CHECK_INTERVAL = timedelta(seconds=30)
_TIMER_SCOPE = "timer"
_POLICY_SCOPE = "timer-by-policy"
_TICK = timedelta(milliseconds=10)


@frozen(eq=False)
class MachineTimers:
    """Arms and reads the timers in our machines. A machine on which one cannot run is a `RemoteError`."""

    plugins: Plugins
    store: NoteStore
    clock: ProviderClock

    async def arm_timer(
        self,
        connection: ReconnectingConnection,
        lease: Lease,
        until: datetime,
        *,
        grace: timedelta = GRACE_PERIOD,
        after_job: timedelta | None = None,
        by_policy: bool = False,
    ) -> MachineTimer:
        """The machine of ``lease`` shuts itself at ``until``. Armed already: its deadline is moved, to earlier too.

        No job starts in the last ``grace``. ``after_job``: it fires this long after the last job's end, if that is
        earlier. ``by_policy``: nobody asked for this timer by hand, so the policy may also end it.
        """
        armed = await self._set_deadline(connection, lease, until, grace, after_job, later=False)
        self.store.put_note(_POLICY_SCOPE, lease.id, "yes" if by_policy else "")
        return armed

    async def extend_timer(
        self,
        connection: ReconnectingConnection,
        lease: Lease,
        until: datetime,
        *,
        after_job: timedelta | None = None,
    ) -> MachineTimer:
        """As `arm`, but a deadline that is later already stays, and so does who armed it."""
        return await self._set_deadline(connection, lease, until, GRACE_PERIOD, after_job, later=True)

    async def disarm_timer(self, connection: ReconnectingConnection) -> MachineTimer:
        """No timer from here on; silent when there is none."""
        from gpurent.remote import timer_script

        return await self._run_command(connection, timer_script.disarm_command())

    async def get_timer(self, connection: ReconnectingConnection) -> MachineTimer:
        """What runs in the machine now, whatever the Store remembers."""
        from gpurent.remote import timer_script

        return await self._run_command(connection, timer_script.state_command())

    def find_deadline(self, lease: Lease) -> datetime | None:
        """The deadline as it was last armed or read from here; None for no timer, or a lease that is over."""
        noted = self.store.get_note(_TIMER_SCOPE, lease.id)
        return datetime.fromisoformat(noted) if noted and not lease.is_over else None

    def is_armed_by_policy(self, lease: Lease) -> bool:
        """Whether a timer is remembered that a policy armed, and nobody by hand."""
        return self.find_deadline(lease) is not None and bool(self.store.get_note(_POLICY_SCOPE, lease.id))

    async def _set_deadline(
        self,
        connection: ReconnectingConnection,
        lease: Lease,
        until: datetime,
        grace: timedelta,
        after_job: timedelta | None,
        *,
        later: bool,
    ) -> MachineTimer:
        from gpurent.remote import timer_script

        async def set_timer(ssh: SshConnection) -> MachineTimer:
            # Counted anew for each try: a connection that was lost and came back has cost time.
            setting = timer_script.TimerSettings(
                span=max(0, (self.clock.to_wall_time(until) - datetime.now(UTC)) // _TICK),
                grace=self._to_ticks(grace),
                after_job=self._to_ticks(after_job) if after_job else 0,
                stop_script=self.plugins.profile_of(lease).stop_script,
                closing_notice=_(
                    "gpurent: the timer shuts this machine within {span}; nothing new starts"
                ).format(span=format_duration(grace)),
                moved_notice=_("gpurent: the timer was moved; the machine goes on"),
                check_interval=min(timer_script.MAX_NAP, self._to_ticks(CHECK_INTERVAL)),
            )
            command = timer_script.arm_command(setting, later=later)
            return self._parse_timer(await ssh.run(command, input=timer_script.make_timer_program(setting)))

        timer = await connection.run_with_retry(set_timer)
        if not timer.is_armed:
            raise RemoteError(
                _("the timer in {lease} does not run").format(lease=lease.id),
                hint=_("Nothing inside the machine will shut it."),
                spent=Spent.NO,
            )
        return self._save_timer(lease.id, timer)

    def _to_ticks(self, span: timedelta) -> int:
        """A span of provider time as the machine's own hundredths of a second; at least one."""
        now = self.clock.now()
        return max(1, (self.clock.to_wall_time(now + span) - self.clock.to_wall_time(now)) // _TICK)

    async def _run_command(self, connection: ReconnectingConnection, command: str) -> MachineTimer:
        ran = await connection.run_with_retry(lambda ssh: ssh.run(command))
        return self._save_timer(connection.lease.id, self._parse_timer(ran))

    def _parse_timer(self, ran: CommandResult) -> MachineTimer:
        from gpurent.domain.terminal_text import strip_terminal
        from gpurent.remote.timer_script import parse_timer

        found = parse_timer(ran.stdout)
        if found is None:
            raise RemoteError(
                _("the machine gave no sensible answer about its timer: {said}").format(
                    said=strip_terminal(ran.stderr or ran.stdout).strip()[:200] or ran.exit_status
                ),
                hint=_("Is the machine's disk full?"),
                spent=Spent.NO,
            )
        if found.left is None:
            return MachineTimer()
        until = self.clock.from_wall_time(datetime.now(UTC) + found.left * _TICK)
        return MachineTimer(until=until, closing=found.closing)

    def _save_timer(self, lease_id: str, timer: MachineTimer) -> MachineTimer:
        self.store.put_note(_TIMER_SCOPE, lease_id, timer.until.isoformat() if timer.until else "")
        if not timer.is_armed:
            self.store.put_note(_POLICY_SCOPE, lease_id, "")
        return timer
