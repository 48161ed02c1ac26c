"""Payments as the Store records them: by the key of their bill, before the account is asked to pay."""

from __future__ import annotations

from datetime import datetime

from attrs import field, frozen

from gpurent.domain.money import Money
from gpurent.domain.offer import Payment, PaymentPurpose
from gpurent.terminal_text import NO_TEXT, ForeignText


@frozen(kw_only=True)
class AuthorizedBill:
    """A bill that the account may have been asked to pay.

    ``lease`` is empty for a fee of the account itself. ``account``: whose money it is at the provider, empty if that is
    not known. ``payee``: to whom it is payable. ``authorized_at`` is set by the Store.
    """

    key: str = field(converter=ForeignText)
    trip: str
    provider: str
    amount: Money
    purpose: PaymentPurpose
    lease: str = ""
    account: str = field(default=NO_TEXT, converter=ForeignText)
    payee: str = field(default=NO_TEXT, converter=ForeignText)
    authorized_at: datetime | None = None


@frozen(kw_only=True)
class RecordedPayment(AuthorizedBill):
    """A bill that the account has paid; ``trip`` is the one that recorded the payment.

    ``confirmed_at``: when the provider accepted the payment for what it was made; None if that is not known.
    """

    payment: Payment
    confirmed_at: datetime | None = None
