"""R8: several processes at once at one provider, and others that look at the same leases meanwhile."""

from __future__ import annotations

import asyncio
import random

from tests.reliability.actions import make_run, type_action
from tests.reliability.histories import LOOKS, running_beside
from tests.reliability.judge import Loss, judge
from tests.reliability.providers import list_testable_providers
from tests.reliability.recovery import settle
from tests.reliability.results import SeedResult, report_seed
from tests.reliability.user_sandbox import UserSandbox, open_user_sandbox

MAX_PROCESSES = 8


async def run_process_round(seed: int) -> SeedResult:
    """Run 2 to 8 trips at once, on as many machines or fewer."""
    rng = random.Random(f"processes-{seed}")
    providers = list_testable_providers()
    count = rng.randint(2, MAX_PROCESSES)
    machines = rng.choice((count, count, max(1, count // 2)))
    async with open_user_sandbox(providers[seed % len(providers)], machines=machines) as user:
        return await report_seed(user, lambda: _run_round(user, rng, count, machines), lambda: 1)


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
