"""What the user is asked before money leaves, and what was authorized."""

from __future__ import annotations

from enum import Enum

from attrs import field, frozen

from gpurent.domain.money import Money, UnitPrice
from gpurent.terminal_text import ForeignText, to_foreign_texts


class AuthorizedBy(Enum):
    """USER: a yes in the terminal, or ``-y``. BUDGET: the budget on the command line. SETTINGS: the monthly budget."""

    USER = "user"
    BUDGET = "budget"
    SETTINGS = "settings"


@frozen(kw_only=True)
class SpendingProposal:
    """What is about to be ordered, at what ``price`` of the provider.

    ``highest`` is the most that the term costs, or an hour if it is metered, in the account's currency; ``deposit``
    comes on top. ``question`` is one line; ``details`` are lines: what is ordered, what it costs and when it ends.
    """

    price: UnitPrice
    highest: Money
    deposit: Money | None
    question: ForeignText = field(converter=ForeignText)
    details: tuple[ForeignText, ...] = field(converter=to_foreign_texts)


@frozen(kw_only=True)
class SpendingAuthorization:
    """The price that was authorized, and by whom; the fields are those of `SpendingProposal`."""

    price: UnitPrice
    highest: Money
    deposit: Money | None
    by: AuthorizedBy

    def covers(self, proposal: SpendingProposal) -> bool:
        """Return whether ``proposal`` costs no more, in every respect."""
        same_unit = (self.price.currency, self.price.per) == (proposal.price.currency, proposal.price.per)
        return (
            same_unit
            and proposal.price.value <= self.price.value
            and _is_within(proposal.highest, self.highest)
            and _is_within(proposal.deposit, self.deposit)
        )


def _is_within(asked: Money | None, limit: Money | None) -> bool:
    if asked is None:
        return True
    return limit is not None and asked.currency == limit.currency and asked <= limit
