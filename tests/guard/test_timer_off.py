"""``timer = "off"``: the machine of a lease has no timer, and one that the policy armed is ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import define, evolve, field, frozen

from gpurent.domain.access import MachineProfile
from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer
from gpurent.domain.time_left import SavedTimer, TimeKind, TimeLeft
from gpurent.domain.trip import TripLimits, TripSpec
from gpurent.infra.clock import WallClock
from gpurent.infra.service_clocks import ServiceClocks
from gpurent.workflow.guard.decide import ExtendTimer, RemoveTimer, decide_actions
from gpurent.workflow.guard.facts import LeaseFacts
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.timing.guard_policy import GuardPolicies, GuardPolicy
from gpurent.workflow.timing.machine_timer import MachineTimers
from gpurent.workflow.timing.timers import TripTimers, compute_timer_deadline

HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LEASE = Lease(
    id="acme-1",
    provider="acme",
    offer=Offer(
        key="m1", provider="acme", hardware=Hardware(), tariff=Metered(price=UnitPrice(Decimal(3), CNY))
    ),
    state=LeaseState.READY,
    started_at=NOW,
)
TIMER_OFF = {"guard": {"timer": "4h"}, "guard.acme-1": {"timer": "off"}}


def make_settings(sections: Mapping[str, Mapping[str, str]], **environment: str) -> Settings:
    return Settings(Path(), environment, sections)


# one reader of the setting


@pytest.mark.parametrize(
    ("sections", "limits", "expected"),
    [
        ({"guard": {"timer": "4h"}}, TripLimits(), (4 * HOUR, False)),
        ({"guard": {"timer": "4h"}, "guard.acme": {"timer": "off"}}, TripLimits(), (None, True)),
        (TIMER_OFF, TripLimits(), (None, True)),
        (TIMER_OFF, TripLimits(timer=2 * HOUR), (None, True)),
        ({"guard": {"timer": "4h"}, "guard.t1": {"timer": "off"}}, TripLimits(), (None, True)),
        ({"guard.acme": {"timer": "off"}}, TripLimits(timer=2 * HOUR), (2 * HOUR, False)),
        ({"guard.acme": {"timer": "off"}, "guard.acme-1": {"timer": "3h"}}, TripLimits(), (3 * HOUR, False)),
        ({**TIMER_OFF, "guard.t1": {"timer": "1h"}}, TripLimits(), (HOUR, False)),
        ({}, TripLimits(), (None, False)),
    ],
)
def test_the_narrower_section_decides(
    sections: Mapping[str, Mapping[str, str]], limits: TripLimits, expected: tuple[timedelta | None, bool]
) -> None:
    policies = GuardPolicies(make_settings(sections))
    found = policies.get_policy("acme", TripSpec(limits=limits), lease="acme-1", trip="t1")
    assert (found.timer, found.timer_off) == expected


def test_the_environment_wins_over_the_file() -> None:
    policies = GuardPolicies(make_settings({"guard": {"timer": "off"}}, GPURENT_GUARD_TIMER="2h"))
    assert policies.get_policy("acme").timer == 2 * HOUR


def test_only_the_trip_s_own_deadline_arms_one_then() -> None:
    policy = GuardPolicies(make_settings(TIMER_OFF)).get_policy("acme", lease="acme-1")
    assert compute_timer_deadline(LEASE, TripLimits(), policy, NOW) is None
    assert compute_timer_deadline(LEASE, TripLimits(term=HOUR), policy, NOW) is None
    assert compute_timer_deadline(LEASE, TripLimits(deadline_in=5 * HOUR), policy, NOW) == NOW + 5 * HOUR


# the guard


@pytest.mark.parametrize("is_watched", [False, True])
def test_the_guard_ends_the_timer_that_a_policy_armed(is_watched: bool) -> None:
    facts = LeaseFacts(
        lease=LEASE,
        now=NOW,
        time_left=TimeLeft(kind=TimeKind.OPEN),
        trip_id="t1",
        launched=True,
        is_attended=is_watched,
    )
    facts = evolve(facts, timer_until=NOW + HOUR, timer_by_policy=True)
    assert decide_actions(facts, GuardPolicy(timer_off=True)) == (RemoveTimer(),)
    assert decide_actions(evolve(facts, timer_by_policy=False), GuardPolicy(timer_off=True)) == ()
    assert RemoveTimer() not in decide_actions(facts, GuardPolicy(timer=4 * HOUR))
    assert (ExtendTimer() in decide_actions(facts, GuardPolicy(timer=4 * HOUR))) is not is_watched


# a trip


@define
class MemoryTimers:
    """A `TimerStore` in memory."""

    timers: dict[str, SavedTimer] = field(factory=dict)

    async def put_machine_timer(
        self, lease_id: str, until: datetime | None, *, by_policy: bool | None = None
    ) -> None:
        before = self.timers.pop(lease_id, None)
        if until is not None:
            was_by_policy = before is not None and before.by_policy
            self.timers[lease_id] = SavedTimer(
                until=until, by_policy=was_by_policy if by_policy is None else by_policy
            )

    async def find_machine_timer(self, lease_id: str) -> SavedTimer | None:
        return self.timers.get(lease_id)


@define
class TimerMachine:
    """Answers like the timer's scripts; also serves as the connection to itself."""

    lease: Lease = LEASE
    lease_id: str = LEASE.id
    trip_id: str = "t1"
    armed: bool = False
    commands: int = 0

    async def run(self, command: str, *, input: str = "", timeout: float = 60.0) -> Any:  # noqa: A002 - as the port
        self.commands += 1
        self.armed = bool(input)
        out = "gpurent-timer armed 360000 waiting\n" if self.armed else "gpurent-timer off\n"
        return SimpleNamespace(exit_status=0, stdout=out, stderr="")

    async def get_lease(self) -> Lease:
        return self.lease

    async def run_with_retry(self, action: Callable[[Any], Awaitable[Any]]) -> Any:
        return await action(self)


@frozen
class NoPlugins:
    def profile_of(self, lease: Lease) -> MachineProfile:
        return MachineProfile(user="root")


class NoProviderTimers:
    """Of a provider that has no timer of its own."""

    async def set_deadline(self, lease_id: str, until: datetime | None, trip_id: str = "") -> None:
        """Set nothing."""

    async def lift_deadline(self, lease_id: str, trip_id: str = "") -> None:
        """Lift nothing."""


def make_trip_timers(
    sections: Mapping[str, Mapping[str, str]],
) -> tuple[TripTimers, MachineTimers, list[Event]]:
    clock, reported = WallClock(), list[Event]()
    events = EventEmitter(clock, [reported.append])
    clocks = ServiceClocks(clock)
    timers = MachineTimers(NoPlugins(), MemoryTimers(), clocks)  # type: ignore[arg-type]
    trips = TripTimers(timers, NoProviderTimers(), GuardPolicies(make_settings(sections)), clocks, events)  # type: ignore[arg-type]
    return trips, timers, reported


async def test_a_watched_job_loses_the_timer_that_is_not_wanted_any_more() -> None:
    trips, timers, events = make_trip_timers(TIMER_OFF)
    machine: Any = TimerMachine()
    await timers.arm_timer(machine, LEASE, datetime.now(UTC) + HOUR, by_policy=True)
    assert await timers.is_armed_by_policy(LEASE)
    await trips.extend_if_due(machine, TripSpec(provider="acme"))
    assert not machine.armed
    assert await timers.find_deadline(LEASE) is None
    assert [event.kind for event in events] == [EventKind.TIMER]
    before = machine.commands
    await trips.extend_if_due(machine, TripSpec(provider="acme"))
    assert machine.commands == before, "ended once"


async def test_a_timer_that_was_set_by_hand_stays() -> None:
    trips, timers, events = make_trip_timers(TIMER_OFF)
    machine: Any = TimerMachine()
    await timers.arm_timer(machine, LEASE, datetime.now(UTC) + HOUR)
    await trips.extend_if_due(machine, TripSpec(provider="acme"))
    assert machine.armed
    assert await timers.find_deadline(LEASE) is not None
    assert events == []
