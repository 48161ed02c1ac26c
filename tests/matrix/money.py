"""Prices, limits and what is charged: the books of gpurent against those of the service."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from tests.matrix.journeys import rent
from tests.matrix.scenario import ScenarioList, require
from tests.reliability.actions import make_run, type_action
from tests.reliability.process_rounds import hold_machines
from tests.reliability.user_sandbox import UserSandbox

MONEY = ScenarioList()


@MONEY.add()
async def hours_pass(user: UserSandbox) -> None:
    lease = await rent(user)
    for _minute in range(9):
        await user.sandbox.cloud.advance(timedelta(minutes=10))
    require(await user.type_command("watch", "--once"))
    require(await user.type_command("release", lease))
    assert user.sum_spent() > 0


@MONEY.add(is_funded=False, needs=("balance",))
async def empty_account(user: UserSandbox) -> None:
    typed = require(await type_action(user, make_run(user, 1), ""), 5)
    assert typed.error["spent"] == "no", typed
    assert "topup" in typed.error["hint"], typed
    assert not user.list_burning()


@MONEY.add()
async def budget_that_is_too_small(user: UserSandbox) -> None:
    offers = require(await user.type_command("offers", "-p", user.provider.name, *user.term)).data
    currency = next(offer for one in offers for offer in one["offers"])["tariff"]["price"]["currency"]
    action = make_run(user, 1)
    name, *options = action.arguments
    budget = ("--budget", f"0.01{currency}")
    typed = await user.type_command(name, *budget, *options, folder=user.root / "project1")
    require(typed, 5)
    assert typed.error["code"] == "over-budget", typed
    assert not user.list_burning()


@MONEY.add(job_seconds=60.0, must_end=False)
async def deadline_that_passes(user: UserSandbox) -> None:
    folder = user.make_project(1)
    options = ("-p", user.provider.name, *user.term, "--deadline", "15m", "--no-results")
    typed = require(await user.type_command("run", *options, "--", "sh", "job.sh", folder=folder), 5)
    assert "deadline" in typed.error["message"], typed
    assert not user.list_burning()


@MONEY.add()
async def plan_tells_the_price(user: UserSandbox) -> None:
    action = make_run(user, 1)
    _name, *options = action.arguments
    folder = user.root / "project1"
    require(await user.type_command("plan", *options, folder=folder))
    assert user.sum_spent() == 0
    assert not user.list_burning()
    run = require(await type_action(user, action, ""))
    assert run.data["receipt"]["charges"], run.data


@MONEY.add(machines=1)
async def sold_out(user: UserSandbox) -> None:
    assert not await hold_machines(user, 2, 1)


@MONEY.add()
async def costs_and_reconcile(user: UserSandbox) -> None:
    require(await type_action(user, make_run(user, 1), ""))
    await user.sandbox.cloud.advance(timedelta(hours=26))
    reconciled = require(await user.type_command("reconcile", user.provider.name))
    assert reconciled.data["findings"]
    costs = require(await user.type_command("costs")).data["costs"]
    spent = sum(Decimal(item["money"]["amount"]) for item in costs["movements"])
    assert spent > 0
