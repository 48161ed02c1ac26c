"""Volumes by the real command line: rented with, paid for, found again, and one in the end wherever a command dies."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from gpurent.roles.volumes import SupportsVolumes
from gpurent.testing.fakes import ManualClock
from gpurent.testing.sandbox_harness import SandboxUser, installed_plugins
from tests.reliability.providers import list_testable_providers
from tests.reliability.user_sandbox import KillPoint, TypedCommand, UserSandbox, open_user_sandbox

SIZE = "100"


def list_names() -> list[str]:
    user = SandboxUser(registry=installed_plugins(), clock=ManualClock())
    return [
        one.name for one in list_testable_providers() if isinstance(user.provider(one.name), SupportsVolumes)
    ]


@asynccontextmanager
async def open_user(name: str) -> AsyncIterator[UserSandbox]:
    provider = next(one for one in list_testable_providers() if one.name == name)
    async with open_user_sandbox(provider) as user:
        yield user


async def list_offers(user: UserSandbox) -> list[Mapping[str, Any]]:
    found = (await user.type_command("offers", "--provider", user.provider.name)).data
    return [offer for provider in found for offer in provider["offers"]]


async def find_place(user: UserSandbox) -> str:
    """Return a place in which a machine is free that can mount its volumes."""
    free = {str(offer["volume_place"]) for offer in await list_offers(user)}
    refused = await user.type_command("volume", "create", "x", "-p", user.provider.name, "--size", SIZE)
    assert refused.code == 2
    named: list[str] = [line.split(" ")[0].removesuffix(":") for line in refused.error["hint"].splitlines()]
    return next(place for place in named if place in free)


def create(user: UserSandbox, place: str) -> tuple[str, ...]:
    return ("volume", "create", "data", "-p", user.provider.name, "--size", SIZE, "--region", place)


async def list_volumes(user: UserSandbox) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = (await user.type_command("volume", "list")).data
    return found


def list_billed(user: UserSandbox) -> list[str]:
    """Return the names of the volumes that the service bills."""
    account = user.sandbox.get_simulator_state(user.provider.name).accounts[0]
    if hasattr(account, "list_volumes"):
        return [volume.name for volume in account.list_volumes()]
    return [disk.name for disk in account.disks if disk.ended_at is None]


def require(typed: TypedCommand) -> Any:
    assert typed.code == 0, str(typed)
    return typed.data


@pytest.mark.parametrize("name", list_names())
async def test_a_volume_of_several_machines_and_what_it_costs(name: str) -> None:
    async with open_user(name) as user:
        place = await find_place(user)
        made = require(await user.type_command(*create(user, place)))
        assert (made["name"], made["state"], made["is_known"]) == ("data", "ready", True)
        again = require(await user.type_command(*create(user, place)))
        assert again["ref"] == made["ref"], "typed again it is the same"
        assert len(list_billed(user)) == 1
        await check_elsewhere(user, place)
        lease = require(await user.type_command("rent", "-p", name, "--volume", "data", "--budget", "99USD"))
        assert lease["offer"]["volume_place"] == place
        refused = await user.type_command("volume", "delete", "data")
        assert refused.code == 6
        assert lease["id"] in refused.error["message"]
        require(await user.type_command("release", lease["id"]))
        assert user.list_burning() == []
        assert require(await user.type_command("orphans"))["orphans"] == []
        ended = require(await user.type_command("volume", "delete", "data"))
        assert ended["receipt"]["lease"] == made["id"]
        assert list_billed(user) == []
        await check_money(user, made["id"])
        assert await list_volumes(user) == []


async def check_elsewhere(user: UserSandbox, place: str) -> None:
    """A machine in another place does not fit, and that is said."""
    others = [one["key"] for one in await list_offers(user) if one["volume_place"] != place]
    refused = await user.type_command(
        "rent", "-p", user.provider.name, "--volume", "data", "--machine", others[0], "--budget", "99USD"
    )
    assert refused.error["code"] == "sold-out", str(refused)
    assert place in refused.error["hint"]
    unknown = await user.type_command("rent", "-p", user.provider.name, "--volume", "nothing")
    assert unknown.code == 2, str(unknown)


async def check_money(user: UserSandbox, volume: str) -> None:
    """What the ledger has of the volume and of the leases is what left the account."""
    total = 0
    for _look in range(60):
        receipts = require(await user.type_command("receipts"))
        names = {receipt["receipt"]["lease"] for receipt in receipts}
        assert volume in names
        total = sum(
            total["spent"]["minor"]
            for receipt in receipts
            for total in receipt["totals"]
            if receipt["receipt"]["lease"]
        )
        if total == user.sum_spent():
            break
    assert total == user.sum_spent()
    costs = require(await user.type_command("costs", "--by", "gpu"))
    assert "volume" in {row["key"] for row in costs["costs"]["rows"]}
    found = require(await user.type_command("reconcile", user.provider.name))
    assert {finding["difference"] for finding in found["findings"]} <= {"equal", "grown"}, found


@pytest.mark.parametrize("name", list_names())
async def test_a_volume_that_the_journal_lost_is_found_by_its_label(name: str) -> None:
    async with open_user(name) as user:
        made = require(await user.type_command(*create(user, await find_place(user))))
        user.journal.unlink()
        report = await user.type_command("orphans")
        assert report.code == 6
        (orphan,) = (one for one in report.data["orphans"] if one["kind"].endswith("volume"))
        assert (orphan["kind"], orphan["ref"], orphan["is_ours"]) == ("lost-volume", made["ref"], True)
        listed = await list_volumes(user)
        assert [(one["ref"], one["is_known"]) for one in listed] == [(made["ref"], False)]
        adopted = require(await user.type_command("volume", "adopt", made["ref"]))
        assert (adopted["id"], adopted["name"]) == (made["id"], "data")
        assert require(await user.type_command("orphans"))["orphans"] == []
        require(await user.type_command("volume", "delete", "data"))
        assert list_billed(user) == []


@pytest.mark.parametrize("name", list_names())
async def test_a_volume_of_somebody_else_is_only_listed(name: str) -> None:
    async with open_user(name) as user:
        require(await user.type_command(*create(user, await find_place(user))))
        state = user.sandbox.home / "state"
        shutil.rmtree(user.sandbox.home / ".local", ignore_errors=True)
        for path in state.glob("living-leases.json"):
            path.unlink()
        for path in user.sandbox.home.rglob("*living-leases.json"):
            path.unlink()
        user.journal.unlink()
        report = await user.type_command("orphans")
        assert report.code == 0, str(report)
        (orphan,) = (one for one in report.data["orphans"] if one["kind"].endswith("volume"))
        assert (orphan["kind"], orphan["is_ours"]) == ("unknown-volume", False)


@pytest.mark.parametrize("name", list_names())
@pytest.mark.parametrize("kind", ["http", "rename"])
async def test_killed_at_any_request_one_volume_comes_of_it(name: str, kind: str) -> None:
    await kill_through(name, kind, step=1)


@pytest.mark.nightly
@pytest.mark.parametrize("name", list_names())
@pytest.mark.parametrize("kind", ["sql", "await"])
async def test_killed_at_any_point_one_volume_comes_of_it(name: str, kind: str) -> None:
    await kill_through(name, kind, step=7)


async def kill_through(name: str, kind: str, step: int) -> None:
    """Kill a create and a delete at each ``step``-th point, and type each again until it is through."""
    rng = random.Random(f"{name}-{kind}")
    async with open_user(name) as user:
        place = await find_place(user)
        number = rng.randint(1, step)
        kills = 0
        while True:
            typed = await user.type_command(*create(user, place), kill=KillPoint(kind=kind, number=number))
            kills += typed.was_killed
            made = require(await user.type_command(*create(user, place)))
            assert len(list_billed(user)) == 1, f"{kind} {number}: {list_billed(user)}"
            assert [one["ref"] for one in await list_volumes(user)] == [made["ref"]]
            ended = await user.type_command(
                "volume", "delete", "data", kill=KillPoint(kind=kind, number=number)
            )
            kills += ended.was_killed
            if ended.was_killed and await list_volumes(user):
                require(await user.type_command("volume", "delete", "data"))
            assert list_billed(user) == [], f"{kind} {number}"
            assert await list_volumes(user) == []
            if not typed.was_killed and not ended.was_killed:
                break
            number += step
        assert kills > 3
        assert require(await user.type_command("orphans"))["orphans"] == []


@pytest.mark.parametrize("name", list_names())
async def test_two_trips_with_one_volume(name: str) -> None:
    """The second machine has what the first one left there, and neither is in the way of the other's job."""
    async with open_user(name) as user:
        require(await user.type_command(*create(user, await find_place(user))))
        for number in (1, 2):
            folder = user.make_project(number)
            typed = await user.type_command(
                *("run", "-p", name, "--volume", "data", "--results", "out.txt", "--budget", "99USD"),
                *("--", "sh", "job.sh"),
                folder=folder,
            )
            assert typed.code == 0, str(typed)
            assert user.has_result(number)
            assert user.list_burning() == []
            (volume,) = await list_volumes(user)
            assert volume["state"] == "ready"
        require(await user.type_command("volume", "delete", "data"))
        assert require(await user.type_command("orphans"))["orphans"] == []


@pytest.mark.parametrize("name", list_names())
async def test_a_month_s_budget_counts_volumes(name: str) -> None:
    """Also what the ledger has not got yet."""
    async with open_user(name) as user:
        wanted = [*create(user, await find_place(user))]
        wanted[wanted.index(SIZE)] = "4000"
        require(await user.type_command(*wanted))
        for _look in range(60):
            await asyncio.sleep(0.5)
            await user.type_command("balance", name)
            if user.sum_spent() > 10_000:  # a cent
                break
        config = user.sandbox.home / "state" / "config.toml"
        config.write_text('[budget]\nmonth = "0.01USD"\n')
        now, soon = user.sandbox.cloud.clock.now(), timedelta(hours=3)
        if (now + soon).month != now.month:
            await user.sandbox.cloud.advance(soon)
        refused = await user.type_command("rent", "-p", name)
        assert refused.error["code"] == "over-budget", str(refused)
        config.unlink()
        require(await user.type_command("volume", "delete", "data"))


@pytest.mark.nightly
@pytest.mark.parametrize("name", list_names())
async def test_a_volume_that_was_taken_for_deleted_is_found(name: str) -> None:
    """Also if its name is used again meanwhile."""
    async with open_user(name) as user:
        wanted = create(user, await find_place(user))
        made = require(await user.type_command(*wanted))
        with sqlite3.connect(user.journal) as db:
            db.create_function("this_journal_needs_a_newer_gpurent", 0, lambda: None)
            db.execute("UPDATE volumes SET state = 'deleted', value = json_set(value, '$.state', 'deleted')")
        other = require(await user.type_command(*wanted))
        assert other["ref"] != made["ref"]
        report = await user.type_command("orphans")
        assert report.code == 6
        assert [one["ref"] for one in report.data["orphans"] if one["kind"] == "lost-volume"] == [made["ref"]]
        taken = await user.type_command("volume", "adopt", made["ref"])
        assert taken.code == 2, str(taken)
        again = require(await user.type_command("volume", "adopt", made["ref"], "--name", "former"))
        assert (again["id"], again["name"]) == (made["id"], "former")
        for called in ("former", "data"):
            require(await user.type_command("volume", "delete", called))
        assert list_billed(user) == []


async def test_a_volume_that_a_monthly_budget_cannot_pay_is_not_created() -> None:
    async with open_user(list_names()[0]) as user:
        place = await find_place(user)
        config = user.sandbox.home / "state" / "config.toml"
        config.write_text('[budget]\nmonth = "0.01USD"\n')
        now, soon = user.sandbox.cloud.clock.now(), timedelta(hours=3)
        if (now + soon).month != now.month:
            await user.sandbox.cloud.advance(soon)
        refused = await user.type_command(*create(user, place))
        assert refused.error["code"] == "over-budget", str(refused)
        assert "monthly budget" in refused.error["message"]
        assert list_billed(user) == []
        assert await list_volumes(user) == []
        config.write_text('[budget]\nmonth = "900USD"\n')
        require(await user.type_command(*create(user, place)))


async def test_a_balance_that_only_volumes_drain_is_watched() -> None:
    async with open_user(list_names()[0]) as user:
        made = require(await user.type_command(*create(user, await find_place(user))))
        require(await user.type_command("watch", "--once"))
        assert "your volumes" not in user.commands[-1].err, "it lasts for years"
        balance = require(await user.type_command("balance"))[0]["balance"]["available"]
        hours = float(balance["amount"]) / float(made["price"]["value"])
        await user.sandbox.cloud.advance(timedelta(hours=hours) - timedelta(hours=40))
        for expected in (True, False):
            require(await user.type_command("watch", "--once"))
            assert ("the balance lasts 1 d" in user.commands[-1].err) is expected, user.commands[-1].err
        assert "gpurent topup" in user.commands[-2].err
