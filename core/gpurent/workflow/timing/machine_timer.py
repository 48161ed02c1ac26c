"""The timer inside a machine, over SSH: arm, extend, disarm and read it. Deadlines are in provider time.

The machine counts its own uptime, so only the time that is left is sent and read; this computer's clock has no part.

The Store remembers the last known deadline, so that listings need not ask the machine.
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
from gpurent.ports.system import ProviderClocks
from gpurent.ports.watch_store import TimerStore
from gpurent.workflow.runtime.plugins import Plugins

if TYPE_CHECKING:
    from gpurent.ports.connection import CommandResult, SshConnection
    from gpurent.ports.system import ProviderClock
    from gpurent.workflow.connection.reconnecting import ReconnectingConnection

GRACE_PERIOD = timedelta(minutes=2)
CHECK_INTERVAL = timedelta(seconds=30)
_TICK = timedelta(milliseconds=10)


@frozen(eq=False)
class MachineTimers:
    """Arms and reads the timers in our machines. Raises `RemoteError` if a timer cannot run on a machine."""

    plugins: Plugins
    store: TimerStore
    clocks: ProviderClocks

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
        """Make the machine of ``lease`` shut itself down at ``until``; replaces an earlier or later deadline.

        No job starts in the last ``grace``. ``after_job``: fire this long after the end of the last job, if that is
        earlier. ``by_policy``: the user did not request this timer, so the policy may also disarm it.
        """
        timer = await self._set_deadline(connection, lease, until, grace, after_job, later=False)
        return await self._save_timer(lease.id, timer, by_policy=by_policy)

    async def extend_timer(
        self,
        connection: ReconnectingConnection,
        lease: Lease,
        until: datetime,
        *,
        after_job: timedelta | None = None,
    ) -> MachineTimer:
        """Arm or extend the timer as `arm_timer` does, but never to an earlier deadline, and keep who armed it."""
        timer = await self._set_deadline(connection, lease, until, GRACE_PERIOD, after_job, later=True)
        return await self._save_timer(lease.id, timer)

    async def disarm_timer(self, connection: ReconnectingConnection) -> MachineTimer:
        """Disarm the timer; do nothing if there is none."""
        from gpurent.remote import timer_script

        return await self._run_command(connection, timer_script.disarm_command())

    async def get_timer(self, connection: ReconnectingConnection) -> MachineTimer:
        """Return the timer that is actually running in the machine."""
        from gpurent.remote import timer_script

        return await self._run_command(connection, timer_script.state_command())

    async def find_deadline(self, lease: Lease) -> datetime | None:
        """Return the last known deadline; None if there is no timer, or if the lease is over."""
        timer = await self.store.find_machine_timer(lease.id)
        return timer.until if timer is not None and not lease.is_over else None

    async def is_armed_by_policy(self, lease: Lease) -> bool:
        """Return whether the last known timer was armed by a policy and not by the user."""
        timer = await self.store.find_machine_timer(lease.id)
        return timer is not None and timer.by_policy and not lease.is_over

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
        from gpurent.workflow.connection.own_folders import check_own_folders

        async def set_timer(ssh: SshConnection) -> MachineTimer:
            # Recomputed for each attempt, because reconnecting takes time.
            clock = self.clocks.clock_of(lease.provider)
            setting = timer_script.TimerSettings(
                span=max(0, (clock.to_wall_time(until) - datetime.now(UTC)) // _TICK),
                grace=_to_ticks(clock, grace),
                after_job=_to_ticks(clock, after_job) if after_job else 0,
                stop_script=self.plugins.profile_of(lease).stop_script,
                closing_notice=_(
                    "gpurent: the timer will shut down this machine within {span}; no new jobs are started"
                ).format(span=format_duration(grace)),
                moved_notice=_("gpurent: the timer was postponed; the machine keeps running"),
                check_interval=min(timer_script.MAX_CHECK_INTERVAL, _to_ticks(clock, CHECK_INTERVAL)),
            )
            command = timer_script.arm_command(setting, later=later)
            ran = await ssh.run(command, input=timer_script.make_timer_program(setting))
            check_own_folders(ran)
            return _parse_timer(ran, clock)

        timer = await connection.run_with_retry(set_timer)
        if not timer.is_armed:
            raise RemoteError(
                _("the timer in {lease} is not running").format(lease=lease.id),
                hint=_("Nothing inside the machine will shut it down."),
                spent=Spent.NO,
            )
        return timer

    async def _run_command(self, connection: ReconnectingConnection, command: str) -> MachineTimer:
        ran = await connection.run_with_retry(lambda ssh: ssh.run(command))
        lease = await connection.get_lease()
        return await self._save_timer(lease.id, _parse_timer(ran, self.clocks.clock_of(lease.provider)))

    async def _save_timer(
        self, lease_id: str, timer: MachineTimer, *, by_policy: bool | None = None
    ) -> MachineTimer:
        await self.store.put_machine_timer(lease_id, timer.until, by_policy=by_policy)
        return timer


def _to_ticks(clock: ProviderClock, span: timedelta) -> int:
    """Convert a span of provider time to hundredths of a second on the machine; at least one."""
    now = clock.now()
    return max(1, (clock.to_wall_time(now + span) - clock.to_wall_time(now)) // _TICK)


def _parse_timer(ran: CommandResult, clock: ProviderClock) -> MachineTimer:
    from gpurent.remote.timer_script import parse_timer

    found = parse_timer(ran.stdout)
    if found is None:
        raise RemoteError(
            _("unexpected answer from the machine about its timer: {said}").format(
                said=ran.said[:200] or ran.exit_status
            ),
            hint=_("Is the machine's disk full?"),
            spent=Spent.NO,
        )
    if found.ticks_left is None:
        return MachineTimer()
    until = clock.from_wall_time(datetime.now(UTC) + found.ticks_left * _TICK)
    return MachineTimer(until=until, closing=found.closing)
