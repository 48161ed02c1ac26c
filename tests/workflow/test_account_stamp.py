"""What core and a plugin tell each other of an account: the plugin knows only the name of its provider."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve, fields, frozen, has, resolve_types

from gpurent.domain.evidence import Absent, Known, Unknown
from gpurent.domain.lease import Lease, PendingOrder
from gpurent.domain.money import USD, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer, Order, OrderKind, Requirements
from gpurent.errors import MoneyError
from gpurent.roles import account, lease as lease_roles, volumes
from gpurent.roles.account import MoneyInstructions
from gpurent.workflow.runtime.account_stamp import HOLDER_TYPES, NAMED_TYPES, AccountStamp
from gpurent.workflow.runtime.role_guard import guard_role

LAB = AccountStamp("lab", frozenset({"acme", "acme-2"}))
OFFER = Offer(key="m", provider="acme", hardware=Hardware(), tariff=Metered(price=UnitPrice(Decimal(1), USD)))
LEASE = Lease(
    id="acme-lab-1",
    provider="acme",
    offer=OFFER,
    pending=PendingOrder(key="k", kind=OrderKind.SWITCH, offer=OFFER),
)
ORDER = Order(key="k", kind=OrderKind.NEW, offer=OFFER)


def list_names(value: Any) -> list[str]:
    """Return every provider's name in a value."""
    found = str(value)
    return sorted({part.split("'")[1] for part in found.split("provider=")[1:]})


@pytest.mark.parametrize("value", [OFFER, LEASE, evolve(LEASE, pending=None), ORDER, Known((OFFER, LEASE))])
def test_every_name_in_a_value_is_stamped_and_comes_off_again(value: Any) -> None:
    stamped = LAB.add(value)
    assert list_names(stamped) == ["acme@lab"]
    assert LAB.add(stamped) == stamped
    (plain,), named = LAB.remove_from_arguments((stamped,), {"lease": stamped})
    assert list_names(plain) == list_names(named["lease"]) == ["acme"]
    assert AccountStamp("").add(value) is value


@pytest.mark.parametrize("value", [None, "vast", Absent(), Unknown("why"), Known((1, 2))])
def test_other_values_stay(value: object) -> None:
    assert LAB.add(value) == value


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("Top up: gpurent topup acme 10", "Top up: gpurent topup acme@lab 10"),
        ("gpurent login acme", "gpurent login acme@lab"),
        ("gpurent whoami --show-key acme.", "gpurent whoami --show-key acme@lab."),
        ("gpurent topup acme-2", "gpurent topup acme-2@lab"),
        ("gpurent rent -p acme", "gpurent rent -p acme@lab"),
        ("gpurent login acme@lab", "gpurent login acme@lab"),
        ("gpurent release acme-lab-x", "gpurent release acme-lab-x"),
        ("acme refuses", "acme refuses"),
    ],
)
def test_the_commands_that_a_plugin_names_are_for_the_account(text: str, named: str) -> None:
    assert LAB.name_account(text) == named


@frozen
class Acme(lease_roles.LeaseProvider):
    """A provider that knows its own name alone, and sees what it is given."""

    seen: list[Any]

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        return Known((OFFER,))

    async def reserve_lease(self, order: Order) -> Lease:
        self.seen.append(order)
        return evolve(LEASE, offer=order.offer)

    async def confirm_lease(self, lease: Lease, payment: Any) -> Lease:
        raise MoneyError("no money", hint="gpurent topup acme 10")

    async def refresh_lease(self, lease: Lease) -> Lease | Absent:
        self.seen.append(lease)
        (listed,) = typing.cast("Known[Lease]", await self.list_leases()).items
        self.seen.append(listed)
        return lease

    async def release_lease(self, lease: Lease) -> Lease | Absent:
        return Absent()

    async def list_leases(self) -> Known[Lease] | Unknown:
        return Known((LEASE,))


async def test_a_guarded_plugin_hears_its_own_name_and_core_the_account() -> None:
    seen: list[Any] = []
    provider = guard_role(Acme(seen), "acme@lab", LAB)
    offers = await provider.list_offers(Requirements())
    assert list_names(offers) == ["acme@lab"]
    assert isinstance(offers, Known)
    lease = await provider.reserve_lease(order=evolve(ORDER, offer=offers.items[0]))
    assert list_names(lease) == ["acme@lab"]
    assert await provider.refresh_lease(lease) == lease, "an answer that changes nothing is equal"
    assert {name for value in seen for name in list_names(value)} == {"acme"}, "in its own calls too"
    with pytest.raises(MoneyError) as caught:
        await provider.confirm_lease(lease, None)
    assert caught.value.hint == "gpurent topup acme@lab 10"
    plain = guard_role(Acme(seen), "acme")
    assert list_names(await plain.list_leases()) == ["acme"]


def test_instructions_of_a_wallet_are_for_the_account() -> None:
    found = LAB.add(MoneyInstructions(steps=("gpurent whoami --show-key acme",), advice="gpurent topup acme"))
    assert found.steps == ("gpurent whoami --show-key acme@lab",)
    assert found.advice == "gpurent topup acme@lab"


def find_values(hint: Any, seen: set[type[Any]]) -> Iterator[type[Any]]:
    """Yield every attrs class that a value of this annotation may hold."""
    for part in typing.get_args(hint):
        yield from find_values(part, seen)
    kind = typing.get_origin(hint) or hint
    if isinstance(kind, type) and has(kind) and kind not in seen:
        seen.add(kind)
        yield kind
        resolve_types(kind)
        for one in fields(kind):
            yield from find_values(one.type, seen)


def list_returned_values() -> Mapping[str, type[Any]]:
    roles = [
        item
        for module in (account, lease_roles, volumes)
        for _name, item in inspect.getmembers(module, inspect.isclass)
        if item.__module__ == module.__name__ and inspect.isabstract(item)
    ]
    methods = [member for role in roles for member in vars(role).values() if inspect.isfunction(member)]
    seen: set[type[Any]] = set()
    found = [kind for one in methods for kind in find_values(typing.get_type_hints(one).get("return"), seen)]
    return {kind.__name__: kind for kind in found}


def test_no_other_value_of_a_plugin_bears_a_providers_name() -> None:
    every = list_returned_values()
    assert {"Offer", "Lease", "Order", "Charge", "Login", "MailBinding"} <= set(every)
    assert {kind for kind in every.values() if "provider" in {one.name for one in fields(kind)}} == set(
        NAMED_TYPES
    )
    holders = {
        kind
        for kind in every.values()
        if kind not in NAMED_TYPES
        and any(set(NAMED_TYPES) & {one.type, *typing.get_args(one.type)} for one in fields(kind))
    }
    assert holders == set(HOLDER_TYPES) - {Known}
