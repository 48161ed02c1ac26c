"""To whom bills are paid: remembered for each account at a provider, and asked about when that changes."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from gpurent.domain.offer import Bill, PaymentPurpose
from gpurent.domain.payments import AuthorizedBill
from gpurent.domain.question import Question, QuestionKind
from gpurent.errors import InputRequired, MoneyError
from gpurent.locale import _, join_list
from gpurent.ports.payment_store import PaymentStore
from gpurent.workflow.runtime.durable_steps import TripContext
from gpurent.workflow.runtime.questions import Questions


@frozen
class Payees:
    """What the account of a provider was asked to pay before is in the Store, with the payee of each bill."""

    store: PaymentStore
    questions: Questions

    async def list_payees(self, provider: str, account: str) -> Sequence[str]:
        """Return to whom this account's bills went, the last first."""
        bills = await self.store.list_authorized_bills(provider, account)
        return list(dict.fromkeys(bill.payee for bill in reversed(bills) if bill.payee))

    async def check_payee(self, trip: TripContext, bill: Bill, record: AuthorizedBill) -> None:
        """Return if the bill goes to a payee that is expected, or a person agrees to another; `-y` is no answer.

        Raises `InputRequired` if nobody is there, `MoneyError` if the answer is no; nothing was paid then.
        """
        expected = await self._list_expected(bill, record)
        if not expected or bill.payee in expected:
            return
        text = _("The bill of {amount} is payable to {payee}, until now it was {expected}. Pay it?").format(
            amount=bill.amount, payee=bill.payee or "-", expected=join_list(expected)
        )
        question = Question(
            id=f"payee:{bill.key}:{bill.payee}",
            kind=QuestionKind.SPEND,
            text=text,
            trip=trip.id,
            needs_person=True,
        )
        if await self.questions.confirm(question):
            return
        refused = _("the bill of {amount} is payable to somebody else than before: {payee}").format(
            amount=bill.amount, payee=bill.payee or "-"
        )
        if self.questions.is_interactive:
            raise MoneyError(refused, hint=_("Nothing was paid. Look at the provider's page."))
        raise InputRequired(refused, hint=text, retryable=True)

    async def _list_expected(self, bill: Bill, record: AuthorizedBill) -> Sequence[str]:
        """Return the payees that are no news for this bill; empty if there is nothing to compare with."""
        known = await self.store.list_authorized_bills(record.provider, record.account)
        same_bill = [other for other in known if other.key == bill.key]
        found = same_bill or [other for other in known if _is_comparable(other, bill, record)]
        return list(dict.fromkeys(other.payee for other in found if other.payee))


def _is_comparable(other: AuthorizedBill, bill: Bill, record: AuthorizedBill) -> bool:
    if bill.payee_per_order:
        # A renewal goes where the lease's other bills went; any other order has an address of its own.
        return bill.purpose is PaymentPurpose.RENEWAL and bool(record.lease) and other.lease == record.lease
    return (other.purpose is PaymentPurpose.FEE) == (bill.purpose is PaymentPurpose.FEE)
