"""Another process changes a trip between the look at it and its lock: what was seen before no longer counts."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.composition.state import ExternalDependencies
from gpurent.domain.lease import Lease
from gpurent.domain.outcomes import DONE, OutcomeKind, TripOutcome
from gpurent.domain.trip import ResultsSpec, TripSpec
from gpurent.errors import BusyError, LeaseError, UsageError
from gpurent.infra.registry import builtin_entries
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.testing.fakes.clock import ManualClock
from tests.sample_lease import make_lease
from tests.workflow.trip_sandbox import ScriptedUser

CANCELLED = TripOutcome(OutcomeKind.CANCELLED)


class OvertakenStore(SqliteStore):
    """Before it takes a lock, another process comes first, once."""

    come_first: Callable[[], Awaitable[object]] | None = None
    come_after = 0
    read_count = 0

    def hold_lock(self, name: str) -> AbstractAsyncContextManager[None]:
        return self._hold_lock_later(name)

    @asynccontextmanager
    async def _hold_lock_later(self, name: str) -> AsyncIterator[None]:
        come_first, self.come_first = self.come_first, None
        if come_first is not None:
            await come_first()
        async with super().hold_lock(name):
            yield

    async def find_lease(self, lease_id: str) -> Lease | None:
        """Another process comes first after the lease was read."""
        found = await super().find_lease(lease_id)
        self.read_count += 1
        if self.read_count == self.come_after:
            assert self.come_first is not None
            await self.come_first()
        return found


@pytest.fixture
async def applications(tmp_path: Path) -> AsyncIterator[tuple[Application, Application]]:
    """Two processes: the first may be overtaken."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    registry = EntryPointRegistry.load(builtin=[builtin_entries])
    clock = ManualClock()
    made = [
        Application(registry, tmp_path / "state", environment, ScriptedUser(), outside)
        for outside in (
            ExternalDependencies(clock=clock, open_store=OvertakenStore),
            ExternalDependencies(clock=clock),
        )
    ]
    try:
        yield made[0], made[1]
    finally:
        for application in made:
            await application.aclose()


def overtake(application: Application, work: Callable[[], Awaitable[object]]) -> None:
    assert isinstance(application.store, OvertakenStore)
    application.store.come_first = work


async def begin_trip(application: Application, kind: str = "run") -> str:
    return (await application.trip_tracker.begin_trip(kind, TripSpec(provider="mistgpu"))).id


@pytest.mark.parametrize("kind", ["run", "renew"])
async def test_a_trip_that_was_cancelled_meanwhile_is_not_resumed(
    applications: tuple[Application, Application], kind: str
) -> None:
    first, second = applications
    trip = await begin_trip(first, kind)
    overtake(first, lambda: second.trip_cancellation.cancel_trip(trip))
    with pytest.raises(UsageError, match=f"{trip} has ended: cancelled"):
        await first.trips.resume(trip)
    record = await second.trip_tracker.get_trip(trip)
    assert record.outcome == CANCELLED
    assert await second.store.list_steps(trip) == []


async def test_a_trip_that_ended_meanwhile_is_not_cancelled(
    applications: tuple[Application, Application],
) -> None:
    first, second = applications
    trip = await begin_trip(first)
    overtake(first, lambda: second.trip_tracker.end_trip(trip, DONE))
    with pytest.raises(UsageError, match=f"{trip} has ended: done"):
        await first.trip_cancellation.cancel_trip(trip)
    assert (await second.trip_tracker.get_trip(trip)).outcome == DONE


async def test_a_trip_that_orders_meanwhile_is_not_closed(
    applications: tuple[Application, Application],
) -> None:
    first, second = applications
    trips = [await begin_trip(first) for _number in range(2)]
    assert isinstance(first.clock, ManualClock)
    first.clock.advance(timedelta(days=2))
    # Both are looked at, and locked, in turn.
    overtake(first, lambda: second.store.begin_step(trips[0], "leg0.reserve"))
    assert await first.open_trips.close_unordered_trips() == [trips[1]]
    assert (await second.trip_tracker.get_trip(trips[0])).is_open


async def test_a_trip_in_use_keeps_the_results_that_it_was_begun_with(
    applications: tuple[Application, Application],
) -> None:
    first, second = applications
    trip = await begin_trip(first)

    def want_more(results: ResultsSpec) -> ResultsSpec:
        return evolve(results, paths=("more",))

    async with second.locks.lock_trip(trip):
        with pytest.raises(BusyError):
            await first.trips.resume(trip, change_results=want_more)
    assert (await second.trip_tracker.get_trip(trip)).spec.results.paths == ()


async def test_an_order_that_failed_does_not_end_a_trip_that_another_process_finished(
    applications: tuple[Application, Application],
) -> None:
    first, second = applications
    trip = await begin_trip(first, "renew")
    overtake(first, lambda: second.trip_tracker.end_trip(trip, DONE))
    orders, context = first.use_cases.lease_orders, first.trip_tracker.context_of(trip)
    await orders._fail_unpaid_order(context, "l1", LeaseError("refused"))
    assert (await second.trip_tracker.get_trip(trip)).outcome == DONE


async def test_the_copy_of_a_lease_is_that_of_its_last_state(
    applications: tuple[Application, Application],
) -> None:
    """The first process reads the lease twice: whether it is copied, and what to copy."""
    first, second = applications
    await first.store.save_lease(make_lease(ref="3"))
    assert isinstance(first.store, OvertakenStore)
    first.store.come_after = 2
    overtake(first, lambda: second.leases.save_lease(make_lease(ref="7")))
    await first.lease_copier.copy_lease("x-1")
    assert first.store.read_count > 2
    copy = second.lease_copies.find_copy("x-1")
    assert copy is not None
    assert copy.ref == "7"
