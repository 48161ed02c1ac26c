"""What goes wrong: answers, processes, lines, clocks and this computer."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta

from gpurent.roles.simulator import SupportsHiding
from gpurent.testing.load_timeouts import POLL_SECONDS
from gpurent.testing.sandbox.service_faults import ServiceFault
from tests.matrix.journeys import rent
from tests.matrix.scenario import Play, ScenarioList, require
from tests.reliability.actions import make_run, type_action
from tests.reliability.histories import running_beside
from tests.reliability.http_faults import FAULTS, HIDDEN_DURING_JOB, LONG_JOB_SECONDS, clear_faults
from tests.reliability.moves import lose_store, refuse_connections
from tests.reliability.recovery import follow, settle
from tests.reliability.user_sandbox import KillPoint, UserSandbox

TROUBLES = ScenarioList()
PAGE_BYTES = 4096


async def add_fault(user: UserSandbox, name: str, **options: int | str) -> None:
    fault = ServiceFault(service=user.provider.name, **{**FAULTS[name], **options})
    await user.sandbox.cloud.faults.add(fault)


async def run_and_follow(user: UserSandbox) -> None:
    """Run the job; if that fails, do what is printed, and resume."""
    await follow(user, await type_action(user, make_run(user, 1), ""))
    await clear_faults(user)
    await settle(user)


def _lose_answers(name: str, nth: int) -> Play:
    async def play(user: UserSandbox) -> None:
        await add_fault(user, name, method="POST", nth=nth, times=1)
        await run_and_follow(user)

    play.__name__ = f"{name} of post {nth}".replace(" ", "_")
    return play


for _nth in (1, 2, 3):
    TROUBLES.add(must_end=False)(_lose_answers("response lost", _nth))
TROUBLES.add(must_end=False)(_lose_answers("sent twice", 1))
TROUBLES.add(must_end=False)(_lose_answers("maintenance page after the effect", 1))


@TROUBLES.add(projects=(1,))
async def asked_for_pauses(user: UserSandbox) -> None:
    await add_fault(user, "429", nth=2, times=3)
    await run_and_follow(user)


async def _wait_for_job(user: UserSandbox) -> None:
    while not user.count_marks(1, "started"):  # noqa: ASYNC110 - no event tells it
        await asyncio.sleep(POLL_SECONDS)


@TROUBLES.add(projects=(1,), job_seconds=LONG_JOB_SECONDS)
async def maintenance_page_during_the_job(user: UserSandbox) -> None:
    async def close_service() -> None:
        await _wait_for_job(user)
        await add_fault(user, "maintenance page", times=4)

    async with running_beside(close_service()):
        require(await type_action(user, make_run(user, 1), ""))


@TROUBLES.add(needs=("late list",), projects=(1,), job_seconds=LONG_JOB_SECONDS)
async def not_listed_during_the_job(user: UserSandbox) -> None:
    simulator = user.sandbox.cloud.simulators_by_name[user.provider.name]
    assert isinstance(simulator, SupportsHiding)

    async def hide() -> None:
        await _wait_for_job(user)
        simulator.hide_machines(user.sandbox.cloud.clock.now() + HIDDEN_DURING_JOB)

    async with running_beside(hide()):
        require(await type_action(user, make_run(user, 1), ""))


@TROUBLES.add(projects=(1,))
async def killed_and_typed_again(user: UserSandbox) -> None:
    run = make_run(user, 1)
    for number in (8, 16, 24):
        await type_action(user, run, "", KillPoint(kind="http", number=number))
    await follow(user, await type_action(user, run, ""))


@TROUBLES.add(projects=(1,))
async def killed_and_resumed(user: UserSandbox) -> None:
    await type_action(user, make_run(user, 1), "", KillPoint(kind="sql", number=90))
    await settle(user)
    if not user.has_result(1):  # it died before there was a trip
        require(await type_action(user, make_run(user, 1), ""))


@TROUBLES.add()
async def killed_and_released(user: UserSandbox) -> None:
    await type_action(user, make_run(user, 1), "", KillPoint(kind="http", number=20))
    await settle(user, release_first=True)


@TROUBLES.add()
async def released_twice(user: UserSandbox) -> None:
    lease = await rent(user)
    first, second = await asyncio.gather(*(user.type_command("release", lease) for _number in range(2)))
    assert 0 in (first.code, second.code), (first, second)
    require(await user.type_command("release", lease))


@TROUBLES.add(is_ledger_whole=False)
async def journal_lost(user: UserSandbox) -> None:
    await rent(user)
    await lose_store(user)


@TROUBLES.add(projects=(1,))
async def wrong_clock(user: UserSandbox) -> None:
    user.sandbox.cloud.clock.set_client_error(timedelta(days=-15))
    require(await type_action(user, make_run(user, 1), ""))
    user.sandbox.cloud.clock.set_client_error(timedelta())


@TROUBLES.add(must_end=False)
async def full_disk(user: UserSandbox) -> None:
    size = user.journal.stat().st_size + 4 * PAGE_BYTES
    await follow(user, await type_action(user, make_run(user, 1), "", limits={"FSIZE": size}))


@TROUBLES.add(projects=(1,), job_seconds=LONG_JOB_SECONDS)
async def connections_cut(user: UserSandbox) -> None:
    async def cut() -> None:
        await _wait_for_job(user)
        for _number in range(3):
            await user.sandbox.cloud.cut_connections()
            await asyncio.sleep(0.3)

    async with running_beside(cut()):
        require(await type_action(user, make_run(user, 1), ""))


@TROUBLES.add(projects=(1,))
async def connections_refused(user: UserSandbox) -> None:
    async with running_beside(refuse_connections(user, random.Random(1))):
        await follow(user, await type_action(user, make_run(user, 1), ""))
    await settle(user)
