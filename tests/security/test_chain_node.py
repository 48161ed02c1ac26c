"""A chain node lies about its chain, its runtime, prices, fees and orders: nothing is signed or confirmed."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from attrs import define

import gpurent_plugin_dbcchain
from gpurent.api import Bill, Money, MoneyError, Spent, UnavailableError, UsageError
from gpurent_plugin_dbcchain import scale, wire
from gpurent_plugin_dbcchain.chain_pins import KNOWN_RUNTIMES, MAIN_GENESIS
from gpurent_plugin_dbcchain.plugin import NAME
from plugins.dbcchain.tests.chain_harness import (
    REAL_NODE,
    ChainHarness,
    ChainUser,
    chain_harness,
    dbc_units,
)
from plugins.dbcchain.tests.test_chain_trip import make_bill
from tests.security.attacks import Adversary, Outcome, attack
from tests.security.lying_node import Lie, lying_node

SECOND_NODE = "https://second.example"
ALLOWED = {"allow_spending": "yes", "max_total_spending": "500DBC"}
OTHER_GENESIS = "0x" + "77" * 32


@define
class Street:
    """The chain, and users who reach it through nodes that lie."""

    harness: ChainHarness
    stack: AsyncExitStack

    async def make_user(
        self, lies: Mapping[str, Lie], *, second_lies: Mapping[str, Lie] | None = None, **settings: str
    ) -> ChainUser:
        """Return a user with money, whose node of the real chain tells ``lies``; other settings as given."""
        user = await self.harness.make_funded_user(**{"url": REAL_NODE, **ALLOWED, **settings})
        user.user.redirects[REAL_NODE] = await self.open_node(lies)
        user.user.redirects[SECOND_NODE] = await self.open_node(second_lies or {})
        return user

    async def open_node(self, lies: Mapping[str, Lie]) -> str:
        return await self.stack.enter_async_context(lying_node(self.harness, lies))


@pytest.fixture
async def street() -> AsyncIterator[Street]:
    async with chain_harness() as harness, AsyncExitStack() as stack:
        yield Street(harness, stack)


async def check_nothing_signed(street: Street, user: ChainUser, bill: Bill, message: str) -> MoneyError:
    """Try to pay; check that it is refused before a signature exists."""
    with pytest.raises(MoneyError, match=message) as caught:
        await user.wallet.pay_bill(bill)
    assert caught.value.spent is Spent.NO
    assert await user.state.get(f"extrinsic/{bill.key}/rent") is None
    assert street.harness.chain.pool == []
    assert user.total_units == dbc_units("5000")
    return caught.value


def say_genesis(genesis: str) -> Mapping[str, Lie]:
    return {"chain_getBlockHash": lambda params, said: genesis if params == [0] else said}


def say_version(version: int) -> Mapping[str, Lie]:
    return {"state_getRuntimeVersion": lambda _params, said: {**said, "specVersion": version}}


def say_stored(key: str, value: bytes) -> Mapping[str, Lie]:
    """Return the lie about one value in the chain's storage."""

    def lie(_params: list[Any], said: Any) -> Any:
        changes = [[name, "0x" + value.hex() if name == key else old] for name, old in said[0]["changes"]]
        return [{**said[0], "changes": changes}]

    return {"state_queryStorageAt": lie}


CHEAP = say_stored(scale.AVERAGE_PRICE_KEY, scale.encode_uint(4_000, 8))  # DBC is worth twice as much
NO_FEE = say_stored(scale.FIXED_FEE_KEY, scale.encode_uint(1, 16))


@attack(
    Adversary.CHAIN_NODE,
    "the node is on another chain, on which the signature would count",
    Outcome.REFUSED,
    kind="S11",
)
async def test_another_chain_is_not_signed_for(street: Street) -> None:
    user = await street.make_user(say_genesis(OTHER_GENESIS))
    bill = await make_bill(user)
    error = await check_nothing_signed(street, user, bill, "is on another chain")
    assert f'genesis = "{OTHER_GENESIS}"' in error.hint


@attack(
    Adversary.CHAIN_NODE,
    "a service on this computer says that it is the real chain: a signature without leave to spend",
    Outcome.REFUSED,
    kind="S11",
)
async def test_a_local_node_does_not_make_the_real_chain_a_toy(street: Street) -> None:
    node = await street.open_node(say_genesis(MAIN_GENESIS))
    user = await street.harness.make_funded_user(url=node)
    await check_nothing_signed(
        street, user, await make_bill(user), "spending on the real chain is not enabled"
    )
    allowed = await street.harness.make_funded_user(url=node, allow_spending="yes")
    await check_nothing_signed(
        street, allowed, await make_bill(allowed), "spending on the real chain is not enabled"
    )


@attack(
    Adversary.CHAIN_NODE,
    "the node reports a runtime in which the bytes of an order may mean something else",
    Outcome.REFUSED,
    kind="S11",
)
@pytest.mark.parametrize("version", [1, 410, 412, 2**32 - 1])
async def test_an_unknown_runtime_is_not_signed_for(street: Street, version: int) -> None:
    user = await street.make_user(say_version(version))
    error = await check_nothing_signed(street, user, await make_bill(user), f"runs version {version}")
    assert f'runtime_versions = "{version}"' in error.hint


async def test_a_runtime_that_the_user_added_is_signed_for(street: Street) -> None:
    version = KNOWN_RUNTIMES[0] + 1
    user = await street.make_user(say_version(version), runtime_versions=f"{version}, 999")
    await make_bill(user)
    with pytest.raises(MoneyError, match="rejected the order"):  # by the chain, whose runtime is another one
        await user.wallet.pay_bill(await make_bill(user))


@attack(
    Adversary.CHAIN_NODE,
    "the runtime changes between the check of the bill and the signature",
    Outcome.REFUSED,
    kind="S11",
)
async def test_the_signature_itself_is_checked(street: Street) -> None:
    asked = 0

    def change(_params: list[Any], said: Any) -> Any:
        nonlocal asked
        asked += 1
        return {**said, "specVersion": 412} if asked > 1 else said

    user = await street.make_user({"state_getRuntimeVersion": change})
    bill = await make_bill(user)
    with pytest.raises(MoneyError, match="runs version 412"):
        await user.wallet.pay_bill(bill)
    assert asked == 2
    assert await user.state.get(f"extrinsic/{bill.key}/rent") is None
    assert user.total_units == dbc_units("5000")


@attack(
    Adversary.CHAIN_NODE,
    "the node reports a price at which the bill is half of what the chain takes",
    Outcome.REFUSED,
    kind="S11",
)
@pytest.mark.parametrize("lies", [CHEAP, NO_FEE], ids=["price", "fee"])
async def test_prices_are_compared_with_the_second_node(street: Street, lies: Mapping[str, Lie]) -> None:
    user = await street.make_user(lies, second_url=SECOND_NODE)
    with pytest.raises(MoneyError, match="contradict each other about the cost"):
        await make_bill(user)
    # The lie begins after the bill: the payment is compared again.
    user.user.redirects[REAL_NODE] = await street.open_node({})
    bill = await make_bill(user)
    user.user.redirects[REAL_NODE] = await street.open_node(lies)
    await check_nothing_signed(street, user, bill, "contradict each other about the cost")


@attack(
    Adversary.CHAIN_NODE, "the node reports more power of a machine than it has", Outcome.REFUSED, kind="S11"
)
async def test_a_machine_is_compared_with_the_second_node(street: Street) -> None:
    def weaken(_params: list[Any], said: Any) -> Any:
        detail = said["machineInfoDetail"]
        built = {**detail["committee_upload_info"], "calc_point": 1}
        return {**said, "machineInfoDetail": {**detail, "committee_upload_info": built}}

    user = await street.make_user({"onlineProfile_getMachineInfo": weaken}, second_url=SECOND_NODE)
    with pytest.raises(MoneyError, match="contradict each other about the cost"):
        await make_bill(user)


@attack(Adversary.CHAIN_NODE, "the node follows a fork of its own", Outcome.REFUSED, kind="S11")
async def test_a_fork_is_noticed_by_the_second_node(street: Street) -> None:
    user = await street.make_user(
        {"chain_getBlockHash": lambda params, said: said if params == [0] else OTHER_GENESIS},
        second_url=SECOND_NODE,
    )
    with pytest.raises(MoneyError, match="contradict each other about the chain"):
        await make_bill(user)


@attack(
    Adversary.CHAIN_NODE,
    "the node reports a smaller stake than the chain took, so that the order is confirmed",
    Outcome.REFUSED,
    kind="S11",
)
async def test_the_stake_is_compared_before_the_order_is_confirmed(street: Street) -> None:
    user = await street.make_user(
        {"rentMachine_getRentOrder": lambda _params, said: {**said, "stakeAmount": 1}}, second_url=SECOND_NODE
    )
    bill = await make_bill(user)
    with pytest.raises(MoneyError, match="contradict each other about the order") as caught:
        await user.wallet.pay_bill(bill)
    assert caught.value.spent is Spent.YES, "the fee of the order; the rent comes back"
    assert await user.state.get(f"extrinsic/{bill.key}/confirm") is None
    await street.harness.advance(minutes=20)
    assert user.total_units > dbc_units("4989")


@attack(Adversary.CHAIN_NODE, "the second node is the first one again", Outcome.REFUSED, kind="S11")
async def test_a_node_does_not_vouch_for_itself(street: Street) -> None:
    user = await street.make_user({}, second_url=REAL_NODE + "/again")
    with pytest.raises(UsageError, match="same node"):
        await make_bill(user)


def test_nothing_is_signed_around_the_check() -> None:
    """Extrinsics are built in one place, from an identity that `check_identity` returned."""
    package = Path(gpurent_plugin_dbcchain.__file__).parent
    users: dict[str, set[str]] = {"build_extrinsic": set(), "get_identity": set(), "check_identity": set()}
    for path in package.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call):
                called = (
                    node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                )
                if called in users:
                    users[called].add(path.stem)
    assert users["build_extrinsic"] == {"sender"}
    assert users["get_identity"] == {"sender", "wallet", "second_node"}
    assert users["check_identity"] == {"sender", "wallet"}
    source = (package / "sender.py").read_text("utf-8")
    assert "check_identity(await self._chain.get_identity()" in source


async def test_two_honest_nodes_do_not_bother_anybody(street: Street) -> None:
    user = await street.make_user({}, second_url=SECOND_NODE)
    driver = user.make_driver()
    await driver.rent_machine(await user.make_order())
    assert user.total_units < dbc_units("4990")


async def test_a_second_node_that_is_far_behind_spends_nothing(street: Street) -> None:
    def lag(_params: list[Any], said: Any) -> Any:
        return {**said, "number": hex(max(1, int(said["number"], 0) - 100))}

    user = await street.make_user({}, second_lies={"chain_getHeader": lag}, second_url=SECOND_NODE)
    with pytest.raises(UnavailableError, match="100 blocks behind") as caught:
        await make_bill(user)
    assert caught.value.spent is Spent.NO


async def test_the_sandbox_needs_no_setting(street: Street) -> None:
    user = await street.harness.make_funded_user()
    assert user.user.config[NAME].get("genesis") is None
    paid = await user.wallet.pay_bill(await make_bill(user))
    assert paid.amount > Money(0, wire.DBC)
