"""When a machine gets a timer: step of the walk, policy, and the timer of a lease by hand.

A trip with ``--for`` on a meter gets one at its expected end and a margin. ``[guard] timer`` is that margin; without
``--for`` it is a dead man's switch: counted from now, and moved on as long as somebody watches the job. A prepaid lease
ends by itself, so it gets none unless asked. The trip's own deadline arms one on any machine.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from attrs import frozen

from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Metered
from gpurent.domain.timer import Timer
from gpurent.domain.trip import Rules, TripSpec
from gpurent.errors import GpurentError, LeaseError, RemoteError, Spent, UsageError
from gpurent.locale import _
from gpurent.locale.spans import parse_span
from gpurent.workflow.connection.reconnecting import ReconnectingConnection
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.timing import machine_timer as timer

MARGIN = timedelta(minutes=30)
_OFF = ("off", "no", "none")


@frozen(kw_only=True)
class Policy:
    """``margin`` beyond the expected end, None when nothing was written; ``off``: no timer at all."""

    margin: timedelta | None = None
    off: bool = False
    after_job: timedelta | None = None


def policy(desk: Desk, provider: str, rules: Rules | None = None) -> Policy:
    """``timer`` and ``after_job`` of the trip, else of ``[guard.<provider>]``, else of ``[guard]``."""
    own = rules or Rules()
    written = _setting(desk, provider, "timer")
    after = _setting(desk, provider, "after_job")
    off = written in _OFF and own.timer is None
    margin = _span("timer", written) if written and written not in _OFF else None
    after_job = _span("after_job", after) if after and after not in _OFF else None
    return Policy(margin=own.timer or margin, off=off, after_job=own.after_job or after_job)


def _setting(desk: Desk, provider: str, key: str) -> str:
    text = desk.setting(f"guard.{provider}", key) or desk.setting("guard", key)
    return text.strip().lower()


def _span(key: str, text: str) -> timedelta:
    try:
        return parse_span(text)
    except ValueError:
        raise UsageError(
            _("[guard] {key} = {text} is no span of time").format(key=key, text=repr(text)),
            hint=_('Write it so: {key} = "4h"').format(key=key),
        ) from None


def deadline(lease: Lease, want: TripSpec, given: Policy, now: datetime) -> datetime | None:
    """When the machine should shut itself; None for no timer. The trip's deadline holds whatever the policy says."""
    last = want.rules.deadline(lease.started_at or now)
    first = _by_policy(lease, want, given, now)
    return min(first, last) if first and last else last or first


def _by_policy(lease: Lease, want: TripSpec, given: Policy, now: datetime) -> datetime | None:
    if given.off or not isinstance(lease.offer.tariff, Metered):
        return None
    if want.term is not None:
        return (lease.started_at or now) + want.term + (MARGIN if given.margin is None else given.margin)
    return now + given.margin if given.margin is not None else None


async def arm_timer(trail: TripContext, leg: str, line: ReconnectingConnection, want: TripSpec) -> None:
    """Arm it where trip or policy ask for one. A machine that cannot have one is no reason to end the trip."""
    desk, lease = trail.desk, line.lease
    given = policy(desk, lease.provider, want.rules)
    until = deadline(lease, want, given, desk.clock.now())
    if until is None:
        if isinstance(lease.offer.tariff, Metered):
            trail.tell(
                EventKind.TIMER,
                _("no timer in the machine: forgotten, it runs while its balance lasts (see --for)"),
                lease=lease.id,
            )
        return

    async def go() -> Timer:
        try:
            armed = await timer.arm(line, lease, until, after_job=given.after_job)
        except RemoteError as error:
            trail.tell(EventKind.WARNING, f"{error.message} {error.hint}", lease=lease.id)
            return Timer()
        trail.tell(EventKind.TIMER, told(armed), lease=lease.id)
        return armed

    await trail.once(f"{leg}.timer", Timer, go, quiet=True)


async def keep_awake(desk: Desk, line: ReconnectingConnection, want: TripSpec) -> None:
    """Move a dead man's switch on; called now and then by whoever watches. A deadline that the user set stays."""
    lease = line.lease
    given = policy(desk, lease.provider, want.rules)
    until = timer.remembered(desk, lease)
    if want.term is not None or given.margin is None or until is None:
        return
    now = desk.clock.now()
    later = deadline(lease, want, given, now)
    if until - now < given.margin * 3 / 4 and later is not None and later > until:
        await timer.extend(line, lease, later, after_job=given.after_job)


def told(armed: Timer) -> str:
    if armed.until is None:
        return _("no timer runs in the machine")
    return _("the machine shuts itself at {until:%Y-%m-%d %H:%M} UTC").format(until=armed.until)


class Timers:
    """The timer of one lease by hand; every call opens its own line."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    async def _on(self, given: str, action: Callable[[ReconnectingConnection], Awaitable[Timer]]) -> Timer:
        line = ReconnectingConnection(self.desk, self.desk.lease(given).id)
        try:
            lease = await line.look()
            if lease.state is not LeaseState.READY:
                raise LeaseError(
                    _("{lease} is not running ({state})").format(lease=lease.id, state=lease.state.value),
                    spent=Spent.NO,
                )
            return await action(line)
        finally:
            await line.close()

    async def state(self, given: str) -> Timer:
        return await self._on(given, timer.state)

    async def off(self, given: str) -> Timer:
        return await self._on(given, timer.disarm)

    async def arm(self, given: str, until: datetime) -> Timer:
        """Shut the machine at ``until``, also where an earlier or later deadline was set."""
        if until <= self.desk.clock.now():
            raise UsageError(_("that time has passed"))
        return await self._on(
            given, lambda line: timer.arm(line, line.lease, until, after_job=self._after(line))
        )

    async def extend(self, given: str, span: timedelta) -> Timer:
        """``span`` more than now set; from now on where no timer runs."""

        async def go(line: ReconnectingConnection) -> Timer:
            before = await timer.state(line)
            until = (before.until or self.desk.clock.now()) + span
            return await timer.extend(line, line.lease, until, after_job=self._after(line))

        return await self._on(given, go)

    def _after(self, line: ReconnectingConnection) -> timedelta | None:
        return policy(self.desk, line.lease.provider).after_job

    async def renewed(self, before: Lease, after: Lease) -> None:
        """A lease that was given more time gives as much to its timer."""
        if (
            timer.remembered(self.desk, after) is None
            or before.expires_at is None
            or after.expires_at is None
        ):
            return
        more = after.expires_at - before.expires_at
        if more <= timedelta():
            return
        try:
            self.desk.tell(EventKind.TIMER, told(await self.extend(after.id, more)), lease=after.id)
        except GpurentError as error:
            # The time is paid for: that its timer could not be moved must not look as if it were not.
            self.desk.tell(EventKind.WARNING, f"{error.message} {error.hint}".strip(), lease=after.id)
