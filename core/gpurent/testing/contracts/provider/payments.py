"""Contract tests for `BillingProvider.pay_bill`: one key is paid once, whatever is lost or done twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.domain.money import Currency
from gpurent.domain.offer import Bill
from gpurent.errors import GpurentError, MoneyError, Spent
from gpurent.testing.contracts.contract import skip_without
from gpurent.testing.contracts.provider.bad_answers import (
    LOST_BEFORE,
    SPOILT_AFTER,
    BadAnswer,
    CallCounter,
    ask,
    faulty,
)
from gpurent.testing.contracts.provider.base import ProviderContractBase, open_provider
from gpurent.testing.contracts.provider.opened import Driver, OpenProvider, zero_bill
from gpurent.testing.contracts.provider.setup import ProviderSetup
from gpurent.testing.contracts.provider.spread import choose_calls

FAULTS = (LOST_BEFORE, *SPOILT_AFTER)


async def get_bill(opened: OpenProvider) -> tuple[Driver, Bill]:
    """Reserve a machine and return its bill."""
    driver = opened.make_driver()
    await driver.reserve_lease(await opened.make_order())
    return driver, await driver.wait_for_bill()


class PaymentContract(ProviderContractBase):
    """Contract tests for paying."""

    async def test_a_second_call_returns_the_first_payment(self, opened: OpenProvider) -> None:
        _driver, bill = await get_bill(opened)
        before = opened.sum_ledger()
        first = await opened.billing.pay_bill(bill)
        paid = before - opened.sum_ledger()
        assert first.key == bill.key
        assert paid <= bill.amount.amount, "more left the account than the bill asks for"
        assert first.amount.currency == bill.amount.currency
        assert first.amount <= bill.amount
        await opened.advance(timedelta(minutes=3))
        again = await opened.billing.pay_bill(bill)
        assert (again.key, again.proof, again.amount) == (first.key, first.proof, first.amount)
        assert before - opened.sum_ledger() == paid, "the second call paid again"

    async def test_two_at_once_pay_once(self, opened: OpenProvider) -> None:
        _driver, bill = await get_bill(opened)
        before = opened.sum_ledger()
        first, second = await asyncio.gather(opened.billing.pay_bill(bill), opened.billing.pay_bill(bill))
        paid = before - opened.sum_ledger()
        assert (first.proof, first.amount) == (second.proof, second.amount)
        assert paid <= bill.amount.amount

    async def test_a_bill_of_zero_is_paid_by_nothing(self, opened: OpenProvider) -> None:
        _driver, bill = await get_bill(opened)
        before = opened.sum_ledger()
        payment = await opened.billing.pay_bill(zero_bill(bill))
        assert payment.amount.amount == 0
        assert payment.key == f"{bill.key}-zero"
        assert opened.sum_ledger() == before

    async def test_more_than_the_account_has_is_refused_unspent(self, opened: OpenProvider) -> None:
        _driver, bill = await get_bill(opened)
        balance = bill.amount if opened.is_postpaid else (await opened.billing.get_balance()).available
        before = opened.sum_ledger()
        large = evolve(bill, key=f"{bill.key}-large", amount=balance + evolve(bill.amount, amount=1), memo="")
        with pytest.raises(MoneyError) as refused:
            await opened.billing.pay_bill(large)
        assert refused.value.spent is Spent.NO
        assert opened.sum_ledger() == before

    async def test_another_currency_is_refused_unspent(self, opened: OpenProvider) -> None:
        _driver, bill = await get_bill(opened)
        before = opened.sum_ledger()
        foreign = evolve(bill, key=f"{bill.key}-foreign", amount=Currency("XTS", 2).money(1))
        with pytest.raises(MoneyError) as refused:
            await opened.billing.pay_bill(foreign)
        assert refused.value.spent is Spent.NO
        assert opened.sum_ledger() == before

    async def test_it_ends_in_time(self, opened: OpenProvider) -> None:
        _driver, bill = await get_bill(opened)
        started = opened.clock.now()
        await opened.billing.pay_bill(bill)
        assert opened.clock.now() - started <= opened.setup.payment_limit

    async def test_lost_and_spoilt_answers_pay_once(self, provider_setup: ProviderSetup) -> None:
        calls = await self.list_payment_calls(provider_setup)
        for nth in choose_calls(calls, 4):
            for fault in (LOST_BEFORE, SPOILT_AFTER[0]):
                await self.check_payment_fault(provider_setup, nth, fault)

    @pytest.mark.nightly
    async def test_every_lost_or_spoilt_answer_pays_once(self, provider_setup: ProviderSetup) -> None:
        calls = await self.list_payment_calls(provider_setup)
        for nth in choose_calls(calls, 40):
            for fault in FAULTS:
                await self.check_payment_fault(provider_setup, nth, fault)

    async def list_payment_calls(self, setup: ProviderSetup) -> Sequence[str]:
        async with open_provider(setup) as opened:
            _driver, bill = await get_bill(opened)
            since = opened.faults.call_count
            await opened.billing.pay_bill(bill)
            calls = opened.list_calls(since)
        if not calls:
            skip_without("request in its payments", setup.billing_entry.name)
        return calls

    async def check_payment_fault(self, setup: ProviderSetup, nth: int, fault: BadAnswer) -> None:
        """Pay with one call gone wrong, then again as a later process: the bill is paid once."""
        where = f"{fault.name} at call {nth}"
        async with open_provider(setup) as opened:
            driver, bill = await get_bill(opened)
            before = opened.sum_ledger()
            counter = CallCounter(opened)
            async with faulty(opened, fault, nth, times=1):
                first = await ask(lambda: opened.billing.pay_bill(bill))
            paid = before - opened.sum_ledger()
            assert counter.count, "nothing was called"
            assert paid <= bill.amount.amount, where
            if isinstance(first, GpurentError):
                assert paid == 0 or first.spent is not Spent.NO, f"{where}: it says that nothing was spent"
            again = await driver.pay_bill(bill)
            assert isinstance(first, GpurentError) or first.proof == again.proof, where
            third = await opened.billing.pay_bill(bill)
            assert (third.proof, third.amount) == (again.proof, again.amount), where
            assert before - opened.sum_ledger() <= bill.amount.amount, f"{where}: it was paid twice"
