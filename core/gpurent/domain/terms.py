"""What the user says of a machine that no shop describes to us."""

from __future__ import annotations

from datetime import datetime, timedelta

from attrs import frozen

from gpurent.domain.money import Money, UnitPrice
from gpurent.domain.offer import Metered


@frozen(kw_only=True)
class Terms:
    """Declared, not the shop's: the tariff, what the account held ``at`` the beginning, when the shop ends it.

    ``balance`` is this machine's own: two machines on one account are declared with a share each.
    """

    tariff: Metered
    at: datetime
    balance: Money | None = None
    until: datetime | None = None

    @property
    def price(self) -> UnitPrice:
        return self.tariff.price

    def cost(self, span: timedelta) -> Money:
        """What ``span`` of use costs: begun ticks, rounded up once."""
        tick = self.tariff.tick
        ticks = -(-max(timedelta(), span) // tick)
        return self.price.cost(ticks * tick)

    def ends(self, started_at: datetime) -> datetime | None:
        """When the machine ends by these terms: the declared end, or the balance used up; None: open."""
        found = [self.until] if self.until is not None else []
        if self.balance is not None and (lasting := self._lasting(self.balance)) is not None:
            found.append(started_at + lasting)
        return min(found, default=None)

    def _lasting(self, balance: Money) -> timedelta | None:
        hour = self.price.cost(timedelta(hours=1000))
        if hour.amount <= 0:
            return None
        return timedelta(hours=1000) * max(0, balance.amount) / hour.amount
