"""A provider as a stranger writes it: every type must come through `gpurent.api`. Checked by `test_api_types`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import assert_type

from gpurent.api import (
    Authenticator,
    AuthEntry,
    Balance,
    Bill,
    BillingEntry,
    BillingProvider,
    Charge,
    Currency,
    Field,
    Known,
    Lease,
    LeaseEntry,
    LeaseProvider,
    LeaseState,
    Login,
    MachineProfile,
    Money,
    Offer,
    Order,
    Payment,
    PluginContext,
    Rate,
    Requirements,
    Secret,
    SupportsRenewal,
    TopUp,
    Unknown,
    hookimpl,
)


class Site(LeaseProvider, SupportsRenewal):
    def __init__(self, context: PluginContext) -> None:
        self.context = context

    async def offers(self, wish: Requirements) -> Known[Offer] | Unknown:
        answer = await self.context.http.request("GET", "/offers", params={"gpu": wish.gpu})
        assert_type(answer.status, int)
        assert_type(answer.headers, Mapping[str, str])
        return Unknown("not yet")

    async def reserve(self, order: Order) -> Lease:
        assert_type(order.term, timedelta | None)
        return Lease(id="", provider="site", offer=order.offer)

    async def confirm(self, lease: Lease, payment: Payment) -> Lease:
        assert_type(payment.amount, Money)
        return lease.to(LeaseState.PROVISIONING)

    async def refresh(self, lease: Lease) -> Lease:
        assert_type(self.context.vault.get("key"), Secret | None)
        return lease

    async def release(self, lease: Lease) -> Lease:
        return lease.to(LeaseState.RELEASED)

    async def leases(self) -> Known[Lease] | Unknown:
        return Known(())

    def extension(self, lease: Lease, term: timedelta, key: str) -> Order:
        raise NotImplementedError


class Wallet(BillingProvider):
    async def balance(self) -> Balance:
        raise NotImplementedError

    async def rate(self, quote: Currency) -> Rate:
        raise NotImplementedError

    async def top_up(self, money: Money) -> TopUp:
        return TopUp(steps=(f"pay {money}",))

    async def pay(self, bill: Bill) -> Payment:
        assert_type(bill.amount + bill.amount, Money)
        raise NotImplementedError

    async def charges(self, lease: Lease) -> Known[Charge] | Unknown:
        return Known(())


class ByPassword(Authenticator):
    async def login(self, given: Mapping[str, Secret]) -> Login:
        return Login(account="me", token=given["password"])

    async def valid(self, login: Login) -> bool:
        return bool(login.account)


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    entry = LeaseEntry(
        name="site",
        summary="a site",
        build=Site,
        auth="site",
        billing="site",
        profile=MachineProfile(user="root"),
    )
    assert_type(entry.hosts, tuple[str, ...])
    return [entry]


@hookimpl
def gpurent_register_billing() -> Sequence[BillingEntry]:
    return [BillingEntry(name="site", summary="", build=lambda context: Wallet(), currency="CNY")]


@hookimpl
def gpurent_register_auth() -> Sequence[AuthEntry]:
    fields = (Field(name="password", label="password", secret=True),)
    return [AuthEntry(name="site", summary="", build=lambda context: ByPassword(), fields=fields)]
