"""A provider whose orders name a registered SSH key: the key is there for the order, and gone with its machine."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import cast

import pytest
from attrs import define, evolve, field

from gpurent.domain.evidence import Absent, Known, Unknown
from gpurent.domain.lease import Lease, LeaseState, PendingOrder
from gpurent.domain.money import USD, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer, Order, OrderKind, Payment, Requirements
from gpurent.errors import LeaseError, MoneyError, Spent
from gpurent.roles.json_reply import JsonReply
from gpurent.roles.labelled_provider import shorten_label
from gpurent.roles.plugin_context import PluginContext
from gpurent.roles.registered_keys import PUBLIC_KEY, KeyedProvider, KeyRegister, RegisteredKey
from gpurent.testing.fakes import ManualClock, MemoryState

NOW = datetime(2026, 11, 30, 9, tzinfo=UTC)
KEY, OTHER_KEY = "ssh-ed25519 AAAAmine", "ssh-ed25519 AAAAother"


@define
class Register(KeyRegister):
    """``refusal``: what the service says against a new key, which it has taken all the same if ``takes``."""

    keys: list[RegisteredKey] = field(factory=list)
    refusal: str = ""
    takes: bool = True

    async def list_keys(self) -> Sequence[RegisteredKey]:
        return list(self.keys)

    async def register_key(self, name: str, line: str) -> str:
        if self.takes:
            self.keys.append(RegisteredKey(f"id-{len(self.keys)}", name, line))
        return self.refusal

    async def unregister_key(self, key: RegisteredKey) -> None:
        self.keys.remove(key)


def make_context() -> PluginContext:
    return cast("PluginContext", SimpleNamespace(clock=ManualClock(NOW), state=MemoryState()))


class Provider(KeyedProvider):
    """Has one machine, once it was created."""

    def __init__(self, keys: Register) -> None:
        super().__init__(make_context(), "Service", keys, 64)
        self.created = ""
        self.error: Exception | None = None

    async def find_machine(self, label: str) -> str:
        return self.created

    async def create_machine(self, lease: Lease) -> str:
        await self.begin_key(lease)
        if self.error is not None:
            raise self.error
        self.created = self.name_machine(lease.label)
        return self.created

    async def release_machine(self, lease: Lease) -> Lease | Absent:
        return lease.with_state(LeaseState.RELEASED)

    async def reserve_lease(self, order: Order) -> Lease:
        raise NotImplementedError

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        return Known(())

    async def list_leases(self) -> Known[Lease] | Unknown:
        return Known(())


def make_lease() -> Lease:
    offer = Offer(
        key="o",
        provider="service",
        hardware=Hardware(gpu="A10", gpus=1),
        tariff=Metered(price=UnitPrice(Decimal(1), USD)),
    )
    return Lease(
        id="one",
        provider="service",
        offer=offer,
        label="t-1",
        state=LeaseState.PAYABLE,
        pending=PendingOrder(key="t-1", kind=OrderKind.NEW),
        provider_data={PUBLIC_KEY: KEY},
    )


PAYMENT = Payment(key="t-1", proof="", amount=USD.zero, at=NOW)
USERS_KEY = RegisteredKey("users", "mine", OTHER_KEY)


async def test_the_key_is_there_with_the_machine_and_gone_after_it() -> None:
    register = Register([USERS_KEY])
    provider = Provider(register)
    lease = await provider.confirm_lease(make_lease(), PAYMENT)
    assert [(key.name, key.line) for key in register.keys] == [("mine", OTHER_KEY), ("t-1", KEY)]
    assert lease.ref == "t-1"
    ended = await provider.release_lease(lease)
    assert isinstance(ended, Lease)
    assert ended.is_over
    assert register.keys == [USERS_KEY]
    await provider.release_lease(evolve(lease, provider_data={}, label="mine"))
    assert register.keys == [USERS_KEY], "an adopted machine has no key of ours"


@pytest.mark.parametrize("error", [LeaseError("no", spent=Spent.NO), MoneyError("no", spent=Spent.NO)])
async def test_a_refused_order_leaves_no_key_and_one_that_may_exist_keeps_it(error: Exception) -> None:
    register = Register()
    provider = Provider(register)
    provider.error = error
    with pytest.raises(type(error)):
        await provider.confirm_lease(make_lease(), PAYMENT)
    assert register.keys == []
    provider.error = LeaseError("perhaps", spent=Spent.UNKNOWN)
    with pytest.raises(LeaseError, match="perhaps"):
        await provider.confirm_lease(make_lease(), PAYMENT)
    assert [key.name for key in register.keys] == ["t-1"]


async def test_a_key_that_was_taken_although_it_was_refused_counts() -> None:
    found = await Register(refusal="twice").add_key("k", f"{KEY} comment")
    assert found.line.split()[:2] == KEY.split()
    with pytest.raises(LeaseError, match="did not take"):
        await Register(refusal="too many", takes=False).add_key("k", KEY)
    with pytest.raises(LeaseError, match="already called mine"):
        await Register([USERS_KEY]).add_key("mine", KEY)


def test_a_long_label_is_shortened_and_stays_its_own() -> None:
    one, other = shorten_label("x" * 65, 64), shorten_label("x" * 66, 64)
    assert len(one) == len(other) == 64
    assert one != other
    assert shorten_label("x" * 64, 64) == "x" * 64


def test_amounts_and_times_of_a_reply() -> None:
    row = {"paid": Decimal("-0.0000011"), "at": "2026-11-30T09:00:00Z", "naive": "2026-11-30T09:00:00"}
    reply = JsonReply(service="s", status=200, url="/", body=row)
    assert reply.get_money(row, "paid", USD).amount == -1
    assert reply.get_iso_time(row, "at") == reply.get_iso_time(row, "naive", UTC) == NOW
    assert reply.get_iso_time(row, "missing") is None
    for name in ("at", "missing"):
        with pytest.raises(Exception, match="no number"):
            reply.get_money(row, name, USD)
    with pytest.raises(Exception, match="no time"):
        reply.get_iso_time({"at": "soon"}, "at")
