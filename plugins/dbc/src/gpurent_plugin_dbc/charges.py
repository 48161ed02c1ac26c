"""The ledger's transfers as charges: what each was for, by its memo and by what its payee sent back."""

from __future__ import annotations

from collections.abc import Collection

from gpurent.api import USD, Charge, ChargeKind, Money, Rate
from gpurent_plugin_dbc import wire

_KIND_WORDS = (
    "payment",
    "deposit-refund",
    "refund",
)  # memos of the ledger that only repeat the charge's kind


def classify_refund(transfer: wire.ListedTransfer, deposits: set[Money]) -> ChargeKind:
    """Return the kind by the ledger's memo; without one, an amount that equals a deposit is its return."""
    deposit = transfer.memo.startswith("deposit") or (not transfer.memo and transfer.amount in deposits)
    return ChargeKind.DEPOSIT_REFUND if deposit else ChargeKind.REFUND


def classify_incoming(transfer: wire.ListedTransfer) -> ChargeKind:
    """Return the kind of incoming money: a provider's refund by its memo, anything else is a top-up."""
    if transfer.sender and transfer.memo.startswith("deposit"):
        return ChargeKind.DEPOSIT_REFUND
    if transfer.sender and transfer.memo.startswith("refund"):
        return ChargeKind.REFUND
    return ChargeKind.TOP_UP


def classify_outgoing(
    transfer: wire.ListedTransfer, returned: Collection[tuple[str, ChargeKind]]
) -> ChargeKind:
    """Return the kind of a payment by what its payee sent back; without that, it may be the user's own transfer.

    A refund must never be counted without the payment that it reduces.
    """
    if (transfer.to, ChargeKind.DEPOSIT_REFUND) in returned:
        return ChargeKind.DEPOSIT
    return ChargeKind.USAGE if (transfer.to, ChargeKind.REFUND) in returned else ChargeKind.TRANSFER


def make_charge(transfer: wire.ListedTransfer, kind: ChargeKind) -> Charge:
    rate = None
    if transfer.price is not None and transfer.price.is_finite() and transfer.price > 0:
        rate = Rate(wire.DBC, USD, transfer.price, transfer.at, "ledger")
    word, _space, rest = transfer.memo.partition(" ")
    note = rest if word in _KIND_WORDS else transfer.memo  # the charge's kind says it in the user's language
    return Charge(at=transfer.at, kind=kind, money=transfer.amount, ref=transfer.hash, note=note, rate=rate)
