"""R8: several processes at once at one provider, and others that look at the same leases meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from gpurent.workflow.runtime.waiting import poll_until
from tests.reliability.actions import make_run, type_action
from tests.reliability.histories import LOOKS, running_beside
from tests.reliability.judge import Loss, judge
from tests.reliability.providers import TestableProvider, list_seed_providers
from tests.reliability.recovery import settle
from tests.reliability.results import SeedResult, report_seed
from tests.reliability.user_sandbox import SPEED, TypedCommand, UserSandbox, open_user_sandbox

MAX_PROCESSES = 8
USUAL_PROCESSES = 2
MAX_SECONDS = 600.0
CASES = ((2, 4), (8, 8), (8, 4))
"""How many trips, and on how many machines."""


async def run_process_round(seed: int) -> SeedResult:
    """Run 2 to 8 trips at once, on as many machines or fewer."""
    rng = random.Random(f"processes-{seed}")
    providers = list_seed_providers()
    count = rng.randint(2, MAX_PROCESSES)
    machines = rng.choice((count, count, max(1, count // 2)))
    async with _open_round(providers[seed % len(providers)], count, machines) as user:
        return await report_seed(user, lambda: _run_round(user, rng, count, machines), lambda: 1)


def _open_round(
    provider: TestableProvider, count: int, machines: int
) -> AbstractAsyncContextManager[UserSandbox]:
    """Let the services' deadlines allow for the load that ``count`` trips at once are to this computer."""
    return open_user_sandbox(
        provider, machines=machines, speed=SPEED * USUAL_PROCESSES // max(USUAL_PROCESSES, count)
    )


async def _run_round(user: UserSandbox, rng: random.Random, count: int, machines: int) -> list[Loss]:
    user.notes.append(f"# {user.provider.name}: {count} trips at once on {machines} machines")
    numbers = range(1, count + 1)
    runs = [make_run(user, number) for number in numbers]

    async def look() -> None:
        while True:
            await user.type_command(*rng.choice(LOOKS))
            await asyncio.sleep(0.1)

    async with running_beside(*(look() for _number in range(rng.randint(0, 2)))):
        typed = await asyncio.gather(*(type_action(user, run, "") for run in runs))
    losses = [
        Loss(kind="result lost", text=f"of project {number}, whose run ended with rc 0")
        for number, one in zip(numbers, typed, strict=True)
        if one.code == 0 and not user.has_result(number)
    ]
    # Who ends early leaves a machine to another trip, so more than ``machines`` may succeed.
    failed = [one for one in typed if one.code != 0]
    losses += [
        Loss(kind="job not done", text=f"rc {one.code}: {one.error.get('message')}")
        for one in failed
        if one.error.get("code") != "sold-out" or len(failed) > count - machines
    ]
    await settle(user)
    return [*losses, *await judge(user)]


async def run_held_round(seed: int) -> SeedResult:
    """Run trips at once whose jobs hold their machines until each trip has one or has ended: one of `CASES`."""
    providers = list_seed_providers()
    count, machines = CASES[seed // len(providers) % len(CASES)]
    async with _open_round(providers[seed % len(providers)], count, machines) as user:
        return await report_seed(user, lambda: hold_machines(user, count, machines), lambda: 1)


async def hold_machines(user: UserSandbox, count: int, machines: int) -> list[Loss]:
    user.notes.append(f"# {user.provider.name}: {count} trips hold {machines} machines")
    numbers = range(1, count + 1)
    for number in numbers:
        user.make_project(number, is_held=True)
    runs = [asyncio.create_task(type_action(user, make_run(user, number), "")) for number in numbers]

    async def has_settled() -> bool:
        """Whether each trip's job runs, or the trip has ended; a command that is stuck ends too."""
        pairs = zip(numbers, runs, strict=True)
        return all(run.done() or user.count_marks(number, "started") for number, run in pairs)

    try:
        async with running_beside(_look_at_leases(user)):
            await poll_until(has_settled, bool, interval=0.1, timeout=MAX_SECONDS)
        free = await _count_free_offers(user)
    finally:
        user.go_file.touch()
    typed = await asyncio.gather(*runs)
    losses = _compare_held(user, typed, machines, free)
    await settle(user)
    return [*losses, *await judge(user)]


async def _look_at_leases(user: UserSandbox) -> None:
    while True:
        await user.type_command("ls", "--refresh")
        await asyncio.sleep(0.1)


async def _count_free_offers(user: UserSandbox) -> int:
    """Count the machines that are free as a whole: of one that a trip orders, other trips order no further GPU."""
    listed = (await user.type_command("offers", "-p", user.provider.name)).data
    rented = {lease["offer"]["key"] for lease in await user.list_living_leases()}
    return sum(offer["key"] not in rented for one in listed for offer in one["offers"])


def _compare_held(user: UserSandbox, typed: Sequence[TypedCommand], machines: int, free: int) -> list[Loss]:
    """Whoever got no machine is told that none was free, which is true, and has paid nothing."""
    losses = []
    with_result = sum(user.has_result(number) for number in range(1, len(typed) + 1))
    if with_result < min(len(typed), machines) or with_result != sum(one.code == 0 for one in typed):
        losses.append(Loss(kind="result lost", text=f"{with_result} results of {len(typed)} trips"))
    failed = [one for one in typed if one.code != 0]
    losses += [
        Loss(kind="job not done", text=f"rc {one.code}: {one.error.get('message')}")
        for one in failed
        if one.error.get("code") != "sold-out"
    ]
    if failed and free:
        losses.append(Loss(kind="job not done", text=f"{len(failed)} sold out, although {free} were free"))
    # One of them may have paid for what the account needs once.
    paid = [one for one in failed if one.error.get("spent") != "no"]
    if len(paid) > user.provider.binds_mail:
        losses.append(Loss(kind="wrong receipt", text=f"{len(paid)} sold out, but not with nothing spent"))
    return losses
