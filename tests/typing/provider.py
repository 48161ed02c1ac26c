"""A provider by a third-party author: every type must come from `gpurent.api`. Checked by `test_api_types`."""

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
    InputField,
    Known,
    Lease,
    LeaseEntry,
    LeaseProvider,
    LeaseState,
    Login,
    MachineProfile,
    Money,
    MoneyInstructions,
    Offer,
    Order,
    Payment,
    PluginContext,
    Rate,
    Requirements,
    Secret,
    SupportsRenewal,
    Unknown,
    hookimpl,
)


class TypedProvider(LeaseProvider, SupportsRenewal):
    def __init__(self, context: PluginContext) -> None:
        self.context = context

    async def list_offers(self, requirements: Requirements) -> Known[Offer] | Unknown:
        answer = await self.context.http.request("GET", "/offers", params={"gpu": requirements.gpu})
        assert_type(answer.status, int)
        assert_type(answer.headers, Mapping[str, str])
        return Unknown("not yet")

    async def reserve_lease(self, order: Order) -> Lease:
        assert_type(order.term, timedelta | None)
        return Lease(id="", provider="site", offer=order.offer)

    async def confirm_lease(self, lease: Lease, payment: Payment) -> Lease:
        assert_type(payment.amount, Money)
        return lease.with_state(LeaseState.PROVISIONING)

    async def refresh_lease(self, lease: Lease) -> Lease:
        assert_type(self.context.vault.get("key"), Secret | None)
        return lease

    async def release_lease(self, lease: Lease) -> Lease:
        return lease.with_state(LeaseState.RELEASED)

    async def list_leases(self) -> Known[Lease] | Unknown:
        return Known(())

    def make_renewal_order(self, lease: Lease, term: timedelta, key: str) -> Order:
        raise NotImplementedError


class TypedBilling(BillingProvider):
    async def get_balance(self) -> Balance:
        raise NotImplementedError

    async def get_rate(self, quote: Currency) -> Rate:
        raise NotImplementedError

    async def create_top_up(self, money: Money) -> MoneyInstructions:
        return MoneyInstructions(steps=(f"pay {money}",))

    async def pay_bill(self, bill: Bill) -> Payment:
        assert_type(bill.amount + bill.amount, Money)
        raise NotImplementedError

    async def list_charges(self, lease: Lease) -> Known[Charge] | Unknown:
        return Known(())


class ByPassword(Authenticator):
    async def log_in(self, fields: Mapping[str, Secret]) -> Login:
        return Login(account="me", token=fields["password"])

    async def is_valid(self, login: Login) -> bool:
        return bool(login.account)


@hookimpl
def gpurent_register_lease() -> Sequence[LeaseEntry]:
    entry = LeaseEntry(
        name="site",
        summary="a site",
        build=TypedProvider,
        auth="site",
        billing="site",
        profile=MachineProfile(user="root"),
    )
    assert_type(entry.web_hosts, tuple[str, ...])
    return [entry]


@hookimpl
def gpurent_register_billing() -> Sequence[BillingEntry]:
    return [BillingEntry(name="site", summary="", build=lambda context: TypedBilling(), currency="CNY")]


@hookimpl
def gpurent_register_auth() -> Sequence[AuthEntry]:
    fields = (InputField(name="password", label="password", secret=True),)
    return [AuthEntry(name="site", summary="", build=lambda context: ByPassword(), fields=fields)]
