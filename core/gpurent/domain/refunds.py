"""What a provider says that it gives back for a lease, and what came back."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen

from gpurent.domain.lease import Lease
from gpurent.domain.money import Money

# What passes between a quote and the end that the provider counts, besides the time that is known.
DELAY = timedelta(minutes=2)
MICROSECOND = timedelta(microseconds=1)


@frozen(kw_only=True)
class RefundQuote:
    """What the provider would give back for a lease at the time ``at``: refund and deposits together."""

    money: Money
    at: datetime


@frozen(kw_only=True)
class RefundOutcome:
    """What was quoted before a release, and what has come back since; ``differs``: by more than the time in between."""

    quoted: Money
    returned: Money
    differs: bool


def compare_refund(lease: Lease, quote: RefundQuote, returned: Money) -> RefundOutcome:
    """Compare ``returned`` with the quote for ``lease``, which is over."""
    distance = abs(returned.amount - quote.money.amount)
    slack = compute_refund_slack(lease, quote)
    return RefundOutcome(quoted=quote.money, returned=returned, differs=distance > slack.amount)


def compute_refund_slack(lease: Lease, quote: RefundQuote) -> Money:
    """Return by how much a quote may have fallen until the lease's end: time went on, and may be charged dearer."""
    passed = max(timedelta(), (lease.ended_at or quote.at) - quote.at) + DELAY
    price, money = lease.offer.tariff.price, quote.money
    if price.is_known and price.currency == money.currency:
        return price.cost(2 * passed)
    if lease.expires_at is None or lease.expires_at <= quote.at:
        return money.currency.zero
    rest = lease.expires_at - quote.at
    parts, whole = min(passed, rest) // MICROSECOND, rest // MICROSECOND
    return Money(-(-2 * money.amount * parts // whole), money.currency)
