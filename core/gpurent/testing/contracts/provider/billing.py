"""Contract tests for `gpurent.roles.account.BillingProvider`: what the account reports, to the minor unit."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from gpurent.domain.evidence import Known, Unknown
from gpurent.domain.money import Currency
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.errors import MoneyError, Spent
from gpurent.roles.account import Balance
from gpurent.testing.contracts.contract import skip_without
from gpurent.testing.contracts.provider.bad_answers import check_query
from gpurent.testing.contracts.provider.base import ProviderContractBase
from gpurent.testing.contracts.provider.opened import Driver, OpenProvider

USE = timedelta(minutes=97, seconds=13)


def show_charges(found: Known[Charge] | Unknown) -> object:
    """Return what of charges must not depend on when they are read."""
    if not isinstance(found, Known):
        return None
    return [(charge.kind, charge.ref, charge.money) for charge in found.items]


async def read_charges(opened: OpenProvider, driver: Driver) -> Sequence[Charge]:
    found = await opened.billing.list_charges(driver.current_lease)
    assert isinstance(found, Known), f"no charges: {found}"
    return found.items


async def use_and_release(opened: OpenProvider) -> Driver:
    """Rent a machine, use it for a while, release it, and wait for refunds."""
    driver = await opened.rent()
    await opened.advance(USE)
    await driver.release_lease()
    await opened.settle()
    return driver


class BillingContract(ProviderContractBase):
    """Contract tests for an account: it agrees with the simulator's ledger."""

    async def test_the_balance_is_that_of_the_ledger(self, opened: OpenProvider) -> None:
        self.require_balance(opened)
        await self.check_balance(opened)
        driver = await opened.rent()
        await self.check_balance(opened)
        await opened.advance(USE)
        await driver.release_lease()
        await opened.settle()
        await self.check_balance(opened)

    def require_balance(self, opened: OpenProvider) -> None:
        if opened.is_postpaid:
            skip_without("balance", opened.setup.billing_entry.name)

    async def test_an_account_without_a_balance_says_so(self, opened: OpenProvider) -> None:
        if not opened.is_postpaid:
            skip_without("bill afterwards", opened.setup.billing_entry.name)
        with pytest.raises(MoneyError) as refused:
            await opened.billing.get_balance()
        assert refused.value.spent is Spent.NO

    async def check_balance(self, opened: OpenProvider) -> None:
        balance = await opened.billing.get_balance()
        held = balance.held.amount if balance.held is not None else 0
        assert balance.available.amount + held == opened.sum_ledger(), "balance and ledger differ"
        assert balance.available.currency.code == opened.setup.billing_entry.currency
        assert balance.at.tzinfo is not None

    async def test_charges_are_what_the_lease_took_from_the_ledger(self, opened: OpenProvider) -> None:
        before = opened.sum_ledger()
        driver = await use_and_release(opened)
        charges = await read_charges(opened, driver)
        opened.check_charges(charges, driver.current_lease, before - opened.sum_ledger())
        assert all(charge.money.amount > 0 for charge in charges), (
            "the kind gives the direction, not the sign"
        )
        assert [charge.at for charge in charges] == sorted(charge.at for charge in charges), "oldest first"
        assert not any(charge.growing for charge in charges), "the lease is over"

    async def test_charges_have_references_that_stay(self, opened: OpenProvider) -> None:
        driver = await use_and_release(opened)
        first = await read_charges(opened, driver)
        assert len({(charge.kind, charge.ref) for charge in first}) == len(first)
        assert all(charge.ref for charge in first)
        await opened.advance(timedelta(days=2))
        later = await read_charges(opened, driver)
        assert [(c.kind, c.ref, c.money, c.at) for c in later] == [
            (c.kind, c.ref, c.money, c.at) for c in first
        ]

    async def test_a_charge_that_grows_says_so(self, opened: OpenProvider) -> None:
        driver = await opened.rent()
        await opened.advance(USE)
        first = {charge.ref: charge for charge in await read_charges(opened, driver)}
        await opened.advance(USE)
        for charge in await read_charges(opened, driver):
            earlier = first.get(charge.ref)
            assert earlier is None or earlier.growing or earlier.money == charge.money, (
                f"{charge.ref} has grown"
            )

    async def test_another_lease_s_charges_are_not_listed(self, opened: OpenProvider) -> None:
        one = await use_and_release(opened)
        other = await use_and_release(opened)
        refs = [{charge.ref for charge in await read_charges(opened, driver)} for driver in (one, other)]
        assert refs[0].isdisjoint(refs[1])

    async def test_a_rate_is_dated_or_refused(self, opened: OpenProvider) -> None:
        with pytest.raises(MoneyError):
            await opened.billing.get_rate(Currency("XTS", 2))
        for code in ("USD", "CNY"):
            try:
                rate = await opened.billing.get_rate(Currency(code, 2))
            except MoneyError:
                continue
            assert rate.value > 0
            assert rate.base.code == opened.setup.billing_entry.currency
            assert rate.quote.code == code
            assert rate.at.tzinfo is not None
            assert rate.at <= opened.clock.now()
            assert rate.base.code != code or rate.value == 1

    async def test_instructions_to_top_up_pay_nothing(self, opened: OpenProvider) -> None:
        before = opened.sum_ledger()
        currency = Currency(opened.setup.billing_entry.currency, 2)
        if not opened.is_postpaid:
            currency = (await opened.billing.get_balance()).available.currency
        found = await opened.billing.create_top_up(currency.money(10))
        assert found.steps
        assert found.url or found.qr
        await opened.settle()
        assert opened.sum_ledger() == before
        token = opened.login.token.reveal()
        assert token not in f"{found.url} {found.qr} {found.steps} {found.advice}"

    async def test_advice_is_an_amount_of_the_account(self, opened: OpenProvider) -> None:
        advice = await opened.billing.suggest_top_up()
        assert advice is None or advice.money.amount > 0
        assert advice is None or advice.money.currency.code == opened.setup.billing_entry.currency

    async def test_a_bad_answer_is_no_balance(self, opened: OpenProvider) -> None:
        self.require_balance(opened)

        def show(balance: Balance) -> object:
            return balance.available, balance.held

        await check_query(opened, opened.get_balance, show)

    async def test_a_bad_answer_is_no_list_of_charges(self, opened: OpenProvider) -> None:
        driver = await use_and_release(opened)
        lease = driver.current_lease
        await check_query(opened, lambda: opened.billing.list_charges(lease), show_charges)

    async def test_an_order_that_was_never_paid_has_no_charges(self, opened: OpenProvider) -> None:
        driver = opened.make_driver()
        await driver.reserve_lease(await opened.make_order())
        assert list(await read_charges(opened, driver)) == []
        assert ChargeKind.TOP_UP not in [charge.kind for charge in await read_charges(opened, driver)]
