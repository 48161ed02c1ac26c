"""Leases whose machine was started again as another lease, and the open trips that move with it."""

from __future__ import annotations

from attrs import frozen

from gpurent.domain.lease import Lease, LeaseState
from gpurent.errors import LeaseError
from gpurent.locale import _
from gpurent.ports.store import Store
from gpurent.workflow.runtime.durable_steps import TripContext, TripTracker
from gpurent.workflow.steps.order_records import make_unfinished_order_error

_LEASE_SUFFIX = ".lease"


async def list_restarted_leases(trip: TripContext) -> tuple[str, ...]:
    """Return the leases as which the trip's machine was started again, oldest first."""
    return tuple(lease for _step, lease in await trip.store.list_recorded_steps(trip.id, _LEASE_SUFFIX, str))


async def count_restarts(trip: TripContext) -> int:
    """Return the number of the trip's last restart, whether or not it succeeded; 0 if there was none."""
    numbers = [
        name.partition(".")[0].removeprefix("restart")
        for name in await trip.steps_by_name()
        if name.startswith("restart")
    ]
    return max((int(number) for number in numbers if number.isdecimal()), default=0)


async def record_restarted_lease(trip: TripContext, number: int, lease_id: str) -> None:
    """Record that the trip's own restart succeeded."""
    name = f"restart{number}{_LEASE_SUFFIX}"
    await trip.store.begin_step(trip.id, name)
    await trip.store.record_step(trip.id, name, lease_id)


async def link_restarted_lease(trip: TripContext, lease_id: str) -> None:
    """Make a lease, as which another command started the trip's machine again, the machine of the trip."""
    number = await count_restarts(trip) + 1
    for name in (f"restart{number}.ready", f"restart{number}{_LEASE_SUFFIX}"):
        await trip.store.begin_step(trip.id, name)
        await trip.store.record_step(trip.id, name, lease_id)
    await trip.store.set_trip_lease(trip.id, lease_id)


@frozen
class RestartedLeases:
    store: Store
    trip_tracker: TripTracker

    async def find_restart(self, lease: Lease) -> Lease | None:
        """Return the last lease as which the machine of ``lease`` was ordered again; None if there is none."""
        known = await self.store.list_leases()
        later = known[[other.id for other in known].index(lease.id) + 1 :]
        found = [other for other in later if _is_restart_of(other, lease)]
        return found[-1] if found else None

    async def require_not_restarted(self, lease: Lease) -> None:
        """Raise `LeaseError` if the machine of ``lease``, which is over, runs or is being ordered as another lease."""
        again = await self.find_restart(lease)
        if again is not None and not again.is_over:
            raise LeaseError(
                _("the machine of {lease} was started again as {again}").format(
                    lease=lease.id, again=again.id
                ),
                hint=_("Release it: gpurent release {lease}").format(lease=again.id),
                burning=(again.id,),
            )

    async def require_no_open_order(self, restarted: Lease) -> None:
        """Raise `LeaseError` while the order of the lease ``restarted`` is unfinished."""
        order = await self.store.find_open_order(restarted.id)
        if order is not None:
            error = make_unfinished_order_error(order)
            error.retryable = True
            raise error

    async def move_open_trips(self, restarted: Lease) -> None:
        """Let the open trips of the lease that was started again as ``restarted`` use it from now on."""
        known = await self.store.list_leases()
        for lease in known[: [other.id for other in known].index(restarted.id)]:
            if not _is_restart_of(restarted, lease):
                continue
            for record in await self.store.list_trips(lease.id):
                if record.is_open and record.kind == "run":
                    await link_restarted_lease(self.trip_tracker.context_of(record.id), restarted.id)


def _is_restart_of(other: Lease, lease: Lease) -> bool:
    """Whether ``other`` is the machine of ``lease``, started again; one that was adopted is known by its reference."""
    if other.id == lease.id or other.provider != lease.provider or other.state is LeaseState.CANCELLED:
        return False
    return other.restarted_from == lease.id or (bool(lease.ref) and other.ref == lease.ref)
