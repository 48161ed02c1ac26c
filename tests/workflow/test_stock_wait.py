"""Waiting for a free machine: it is rented as soon as there is one, and nothing is bought before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest
from attrs import evolve

from gpurent.domain.events import Event, EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.money import CNY
from gpurent.domain.offer import Requirements
from gpurent.domain.trip import TripLimits, TripSpec
from gpurent.errors import ConfirmationRequired, SoldOut
from gpurent.workflow.trips.stock_wait import FIRST_PAUSE, LONGEST_PAUSE, iter_pauses
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

WANTED = TripSpec(provider="mistgpu", requirements=Requirements(gpu="2080Ti"))
HOURS = timedelta(hours=2)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=600) as made:
        async with made.open_application() as application:
            await application.account_commands.log_in(
                "mistgpu", {"username": "student", "password": "student-pass"}
            )
            await made.top_up_mistgpu(application, "20")
        set_users(made, "somebody")
        yield made


def set_users(sandbox: TripSandbox, user: str) -> None:
    """Let all machines be rented by ``user``; "" sets them free."""
    for machine in sandbox.get_simulator_state("mistgpu").machines.values():
        machine.user = user


async def test_a_free_machine_is_rented_and_waited_for_again_if_others_are_faster(
    sandbox: TripSandbox,
) -> None:
    user, rented, stolen = ScriptedUser(), list[Lease](), list[str]()

    def change_stock(event: Event) -> None:
        if event.kind is EventKind.WAITING and "waiting" in event.text:
            set_users(sandbox, "")
        elif event.kind is EventKind.STEP_STARTED and event.step == "leg0.reserve" and not stolen:
            stolen.append(event.trip)
            set_users(sandbox, "somebody")

    user.watchers.append(change_stock)
    async with sandbox.open_application(user) as application:

        async def rent(spec: TripSpec) -> None:
            rented.append(await application.trips.rent(spec))

        await application.stock_wait.rent_when_free(WANTED, rent, HOURS)
        (lease,) = rented
        lost, done = await application.trip_tracker.list_trips()
        assert (lost.id, lost.outcome_text) == (stolen[0], "failed: sold-out")
        assert (done.lease, done.outcome_text) == (lease.id, "done")
        await application.releases.release_lease(lease.id)
    assert sandbox.cloud.burning() == []


async def test_it_gives_up_after_its_time_and_has_asked_rarely(sandbox: TripSandbox) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:

        async def rent(spec: TripSpec) -> None:
            raise AssertionError(spec)

        begun = application.clock.now()
        with pytest.raises(SoldOut, match="none of mistgpu has a matching machine"):
            await application.stock_wait.rent_when_free(WANTED, rent, HOURS)
        assert application.clock.now() - begun >= HOURS
        assert [event.kind for event in user.events].count(EventKind.WAITING) == 1, "told once"
        assert await application.trip_tracker.list_trips() == []


async def test_nobody_waits_for_a_price_that_nobody_can_agree_to(sandbox: TripSandbox) -> None:
    async with sandbox.open_application(ScriptedUser(agrees_to_price=None)) as application:

        async def rent(spec: TripSpec) -> None:
            raise AssertionError(spec)

        with pytest.raises(ConfirmationRequired, match="nobody can agree"):
            await application.stock_wait.rent_when_free(WANTED, rent, None)
        limits = TripLimits(budget=CNY.money("5"), budget_authorizes=True)
        with pytest.raises(SoldOut):
            await application.stock_wait.rent_when_free(evolve(WANTED, limits=limits), rent, timedelta())


def test_who_waits_for_weeks_asks_as_rarely_as_after_an_hour() -> None:
    pauses = list(islice(iter_pauses(), 2000))
    assert pauses[0] == FIRST_PAUSE
    assert pauses == sorted(pauses)
    assert set(pauses[10:]) == {LONGEST_PAUSE}
