"""The parts of the Store for payments and for what else is paid once for an account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from gpurent.domain.offer import Payment
    from gpurent.domain.payments import AuthorizedBill, RecordedPayment


class PaymentStore(Protocol):
    """Payments by the key of their bill."""

    async def put_authorized_bill(self, bill: AuthorizedBill) -> None:
        """Record that the account may be asked to pay; ``authorized_at`` is set here. A bill that was paid stays."""

    async def find_authorized_bill(self, key: str) -> AuthorizedBill | None:
        """Return the bill, whether it was paid or not."""

    async def list_authorized_bills(self, provider: str, account: str) -> Sequence[AuthorizedBill]:
        """Return the bills of this account at a provider, whether paid or not, oldest first."""

    async def put_payment(self, trip_id: str, payment: Payment) -> None:
        """Record that ``trip_id`` paid the bill with the payment's key; the first payment recorded stays.

        Raises `LookupError` if the bill was never authorized, as the intent was not on disk, and `ValueError` if the
        payment is in another currency.
        """

    async def confirm_recorded_payment(self, key: str) -> None:
        """Record that the provider has accepted the payment now, unless that was recorded before."""

    async def find_recorded_payment(self, key: str) -> RecordedPayment | None: ...
    async def list_trip_payments(self, trip_id: str) -> Sequence[RecordedPayment]:
        """Return what a trip has paid, oldest first."""

    async def list_lease_payments(self, lease_id: str) -> Sequence[RecordedPayment]:
        """Return what all trips of a lease have paid, fees of the account included, oldest first."""


class MailBindingStore(Protocol):
    """Bindings of e-mail addresses: at most one unfinished one for each address of an account.

    An empty account is not known, and may be any.
    """

    async def claim_binding_key(self, provider: str, account: str, address: str, key: str) -> str:
        """Return the key of the unfinished binding; if there is none, record one with ``key``."""

    async def end_mail_binding(self, provider: str, account: str, address: str) -> None:
        """Record that the address is bound."""
