"""Where money leaves: the only caller of `BillingProvider.pay`."""

from __future__ import annotations

from gpurent.errors import MoneyError, Spent
from gpurent.locale import _
from gpurent.model.events import EventKind
from gpurent.model.money import Money
from gpurent.model.order import Bill, Payment
from gpurent.workflow.trail import Trail


async def pay(trail: Trail, step: str, provider: str, bill: Bill, ceiling: Money | None) -> Payment:
    """Pay ``bill`` once, whatever happens in between; above ``ceiling`` only after the user's yes.

    The key was journaled with the bill and the wallet is idempotent on it; the payment is journaled before the shop
    sees it.
    """

    async def leave() -> Payment:
        desk = trail.desk
        if bill.due is not None and desk.clock.now() >= bill.due:
            raise MoneyError(
                _("the time to pay this bill is over since {due:%H:%M:%S} UTC").format(due=bill.due),
                hint=_("Nothing was paid. Start again for a fresh order."),
                retryable=True,
            )
        if bill.amount.amount < 0:
            raise MoneyError(_("the shop sent a bill of {amount}").format(amount=bill.amount))
        if ceiling is not None and bill.amount > ceiling:
            question = _("The bill is {amount}, above the {ceiling} that you agreed to. Pay it?").format(
                amount=bill.amount, ceiling=ceiling
            )
            if not desk.ui.confirm(question):
                raise MoneyError(
                    _("the bill of {amount} is above the agreed {ceiling}").format(
                        amount=bill.amount, ceiling=ceiling
                    ),
                    hint=_("Nothing was paid for it. Raise --budget, or wait for a better price."),
                )
        if bill.amount.amount:
            trail.tell(EventKind.PAYING, _("paying {amount}").format(amount=bill.amount), key=bill.key)
        payment = await desk.wallet(provider).pay(bill)
        if payment.amount > bill.amount or payment.key != bill.key:
            raise MoneyError(
                _("asked to pay {asked}, the wallet says that it paid {paid}").format(
                    asked=bill.amount, paid=payment.amount
                ),
                spent=Spent.YES,
            )
        if payment.amount.amount:
            trail.tell(EventKind.PAID, _("paid {amount}").format(amount=payment.amount), proof=payment.proof)
        return payment

    payment = await trail.once(step, Payment, leave, quiet=True)
    trail.desk.books.note_payments(trail.trip)
    return payment
