"""Contract tests for what some accounts can do: statement, invoices, withdrawal."""

from __future__ import annotations

import pytest

from gpurent.domain.evidence import Known
from gpurent.domain.money import Money
from gpurent.domain.receipt import ChargeKind
from gpurent.errors import GpurentError, MoneyError
from gpurent.roles.account import InvoiceInfo, SupportsInvoices, SupportsStatement, SupportsWithdrawal
from gpurent.testing.contracts.contract import require_capability
from gpurent.testing.contracts.provider.bad_answers import BAD_ANSWERS, ask, check_query, faulty
from gpurent.testing.contracts.provider.base import ProviderContractBase
from gpurent.testing.contracts.provider.billing import read_charges, show_charges, use_and_release
from gpurent.testing.contracts.provider.opened import OpenProvider, sign_charge

_OWN_TRANSFERS = (ChargeKind.TRANSFER, ChargeKind.HOLD)


class StatementContract(ProviderContractBase):
    """Contract tests for `SupportsStatement`."""

    def require_statement(self, opened: OpenProvider) -> SupportsStatement:
        return require_capability(opened.billing, SupportsStatement, opened.setup.billing_entry.name)

    async def test_the_statement_adds_up_to_the_balance(self, opened: OpenProvider) -> None:
        statement = self.require_statement(opened)
        await use_and_release(opened)
        found = await statement.get_statement()
        assert isinstance(found, Known)
        # A wallet's statement cannot tell a payment from another transfer of the user's own money, or its direction.
        unclear = sum(charge.money.amount for charge in found.items if charge.kind in _OWN_TRANSFERS)
        known = sum(sign_charge(charge) for charge in found.items if charge.kind not in _OWN_TRANSFERS)
        assert opened.sum_ledger() - known in (unclear, -unclear)
        assert any(charge.kind is ChargeKind.TOP_UP for charge in found.items), "the user's own money came in"
        assert [charge.at for charge in found.items] == sorted(charge.at for charge in found.items)
        refs = [(charge.kind, charge.ref) for charge in found.items]
        assert len(set(refs)) == len(refs)

    async def test_a_lease_s_charges_have_the_same_references(self, opened: OpenProvider) -> None:
        statement = self.require_statement(opened)
        driver = await use_and_release(opened)
        found = await statement.get_statement()
        assert isinstance(found, Known)
        listed = {(charge.ref, charge.money) for charge in found.items}
        for charge in await read_charges(opened, driver):
            assert (charge.ref, charge.money) in listed

    async def test_a_bad_answer_is_no_statement(self, opened: OpenProvider) -> None:
        self.require_statement(opened)
        await use_and_release(opened)
        await check_query(opened, lambda: self.require_statement(opened).get_statement(), show_charges)


class InvoiceContract(ProviderContractBase):
    """Contract tests for `SupportsInvoices`."""

    def require_invoices(self, opened: OpenProvider) -> SupportsInvoices:
        return require_capability(opened.billing, SupportsInvoices, opened.setup.billing_entry.name)

    async def test_what_can_be_invoiced_is_what_was_spent(self, opened: OpenProvider) -> None:
        invoices = self.require_invoices(opened)
        before = opened.sum_ledger()
        await use_and_release(opened)
        spent = before - opened.sum_ledger()
        info = await invoices.get_invoice_info()
        assert info.spent.amount == spent
        assert info.uninvoiced.amount == spent
        assert info.minimum_spending.currency == info.spent.currency
        assert info.ready == (spent > 0 and info.spent >= info.minimum_spending)
        assert info.steps

    async def test_more_than_was_spent_is_refused(self, opened: OpenProvider) -> None:
        invoices = self.require_invoices(opened)
        info = await invoices.get_invoice_info()
        answers = {name: f"{name}@sandbox.example" for name, _label in invoices.invoice_fields}
        assert len(answers) == len(invoices.invoice_fields)
        before = opened.sum_ledger()
        too_much = info.uninvoiced + Money(1, info.uninvoiced.currency)
        for money in (too_much, info.spent.currency.zero):
            with pytest.raises(MoneyError):
                await invoices.request_invoice(money, answers)
        assert opened.sum_ledger() == before
        assert (await invoices.get_invoice_info()).uninvoiced == info.uninvoiced

    async def test_a_bad_answer_is_no_invoice_information(self, opened: OpenProvider) -> None:
        self.require_invoices(opened)
        await use_and_release(opened)

        def show(info: InvoiceInfo) -> object:
            return info.spent, info.uninvoiced, info.ready

        await check_query(opened, lambda: self.require_invoices(opened).get_invoice_info(), show)


class WithdrawalContract(ProviderContractBase):
    """Contract tests for `SupportsWithdrawal`."""

    def require_withdrawal(self, opened: OpenProvider) -> SupportsWithdrawal:
        return require_capability(opened.billing, SupportsWithdrawal, opened.setup.billing_entry.name)

    async def test_instructions_move_no_money_and_show_no_key(self, opened: OpenProvider) -> None:
        withdrawal = self.require_withdrawal(opened)
        balance, before = (await opened.get_balance()).available, opened.sum_ledger()
        found = await withdrawal.withdraw(balance)
        assert found.steps
        await opened.settle()
        assert opened.sum_ledger() == before
        assert opened.login.token.reveal() not in f"{found.steps} {found.url} {found.qr} {found.advice}"

    async def test_more_than_there_is_cannot_be_withdrawn(self, opened: OpenProvider) -> None:
        withdrawal = self.require_withdrawal(opened)
        balance, before = (await opened.get_balance()).available, opened.sum_ledger()
        for money in (balance + Money(1, balance.currency), balance.currency.zero):
            with pytest.raises(MoneyError):
                await withdrawal.withdraw(money)
        assert opened.sum_ledger() == before

    async def test_without_a_balance_there_are_no_instructions(self, opened: OpenProvider) -> None:
        withdrawal = self.require_withdrawal(opened)
        balance = (await opened.get_balance()).available
        for answer in BAD_ANSWERS:
            async with faulty(opened, answer):
                assert isinstance(await ask(lambda: withdrawal.withdraw(balance)), GpurentError), answer.name
