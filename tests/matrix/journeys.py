"""What a user does when all goes well, and with a job or results that fail."""

from __future__ import annotations

import asyncio

from tests.matrix.scenario import ScenarioList, require
from tests.reliability.actions import make_rent, make_run, type_action
from tests.reliability.histories import running_beside
from tests.reliability.user_sandbox import UserSandbox

JOURNEYS = ScenarioList()
LONG_SECONDS = 60.0


async def rent(user: UserSandbox) -> str:
    """Rent a machine and return the id of its lease."""
    typed = require(await type_action(user, make_rent(user), ""))
    return str(typed.data["id"])


@JOURNEYS.add(projects=(1,))
async def whole_trip(user: UserSandbox) -> None:
    typed = require(await type_action(user, make_run(user, 1), ""))
    assert typed.data["exit_code"] == 0, typed.data


@JOURNEYS.add(projects=(1,), job_seconds=1.0)
async def detached_then_resumed(user: UserSandbox) -> None:
    action = make_run(user, 1)
    name, *options = action.arguments
    folder = user.root / "project1"
    require(await user.type_command(name, "--detach", *options, folder=folder))
    assert not user.has_result(1)
    (trip,) = await user.list_open_trips()
    require(await user.type_command("resume", trip))


@JOURNEYS.add()
async def each_leg_by_itself(user: UserSandbox) -> None:
    lease = await rent(user)
    data = user.root / "data.txt"
    data.write_text("data")
    require(await user.type_command("push", lease, str(data), "--to", "in"))
    require(await user.type_command("start", lease, "--in", "in", "--", "sh", "-c", "cp data.txt out.txt"))
    require(await user.type_command("logs", lease, "job", "--follow"))
    require(await user.type_command("pull", lease, "in/out.txt", "--to", str(user.root / "back")))
    assert (user.root / "back" / "out.txt").read_text() == "data"
    require(await user.type_command("release", lease))


@JOURNEYS.add(needs=("renewal",))
async def renewed(user: UserSandbox) -> None:
    lease = await rent(user)
    (before,) = await user.list_living_leases()
    require(await user.type_command("renew", lease, "--for", "1h"))
    (after,) = await user.list_living_leases("--refresh")
    assert after["expires_at"] > before["expires_at"]
    require(await user.type_command("release", lease))


@JOURNEYS.add(needs=("staging",), projects=(1,))
async def staged(user: UserSandbox) -> None:
    action = make_run(user, 1)
    name, *options = action.arguments
    typed = require(await user.type_command(name, "--staged", *options, folder=user.root / "project1"))
    assert typed.data["exit_code"] == 0


@JOURNEYS.add(needs=("restart",))
async def shut_down_and_started_again(user: UserSandbox) -> None:
    lease = await rent(user)
    data = user.root / "kept.txt"
    data.write_text("kept")
    require(await user.type_command("push", lease, str(data)))
    require(await user.type_command("shutdown", lease))
    require(await user.type_command("restart", lease))
    (again,) = await user.list_living_leases("--refresh")
    back = user.root / "back"
    require(await user.type_command("pull", str(again["id"]), "kept.txt", "--to", str(back)))
    assert (back / "kept.txt").read_text() == "kept"
    require(await user.type_command("release", str(again["id"])))


@JOURNEYS.add(needs=("spot",), projects=(1,))
async def on_a_spot_machine(user: UserSandbox) -> None:
    action = make_run(user, 1)
    name, *options = action.arguments
    require(await user.type_command(name, "--spot", *options, folder=user.root / "project1"))


@JOURNEYS.add()
async def job_that_fails(user: UserSandbox) -> None:
    folder = user.make_project(1)
    job = ("--no-results", "--", "sh", "-c", "sleep 8; exit 3")
    typed = await user.type_command("run", "-p", user.provider.name, *user.term, *job, folder=folder)
    require(typed, 3)
    assert not await user.list_living_leases()


@JOURNEYS.add()
async def results_that_are_missing(user: UserSandbox) -> None:
    folder = user.make_project(1)
    job = ("--results", "nowhere.txt", "--", "true")
    typed = await user.type_command("run", "-p", user.provider.name, *user.term, *job, folder=folder)
    require(typed, 7)
    assert typed.error["code"] == "results-missing"
    (way,) = (found for found in typed.list_printed_commands() if found[0] == "release")
    require(await user.type_command(*way))


@JOURNEYS.add(job_seconds=LONG_SECONDS)
async def cancelled(user: UserSandbox) -> None:
    action = make_run(user, 1)
    name, *options = action.arguments
    require(await user.type_command(name, "--detach", *options, folder=user.root / "project1"))
    (trip,) = await user.list_open_trips()
    await user.type_command("trips", "cancel", trip)
    assert not await user.list_open_trips()
    assert not await user.list_living_leases()


@JOURNEYS.add(projects=(1, 2))
async def two_trips_at_once(user: UserSandbox) -> None:
    runs = (make_run(user, number) for number in (1, 2))
    for typed in await asyncio.gather(*(type_action(user, run, "") for run in runs)):
        require(typed)


@JOURNEYS.add(projects=(1,), job_seconds=1.0)
async def looked_at_in_a_loop(user: UserSandbox) -> None:
    async def look() -> None:
        while True:
            for command in (("ls", "--refresh"), ("trips",), ("watch", "--once"), ("orphans",)):
                await user.type_command(*command)
            await asyncio.sleep(0.1)

    async with running_beside(look()):
        require(await type_action(user, make_run(user, 1), ""))
