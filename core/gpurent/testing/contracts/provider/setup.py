"""Which provider is tested, and what an order at it needs; one line for most plugins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from decimal import Decimal

from attrs import field, frozen

from gpurent.domain.offer import Offer, Requirements
from gpurent.roles.entries import AuthEntry, BillingEntry, LeaseEntry, SimulatorEntry
from gpurent.testing.sandbox_harness import installed_plugins


def _is_available(offer: Offer) -> bool:
    return offer.available


@frozen(kw_only=True)
class ProviderSetup:
    """The provider ``name``, as its `LeaseEntry` has it; everything else has a default.

    ``simulators``: those that it needs, by default its own and that of its account. ``settings`` are theirs, as
    ``simulator.key``. ``machines``: how many are free. ``term``: of a prepaid order, by default the offer's minimum.
    ``wants``: which of the offers may be rented.

    ``price_tolerance``: how far a price may be from what is charged, as a part of it, where an exchange rate or fees
    lie between. ``release_limit``: provider time that one call of `release_lease` may wait (for a mailed code);
    ``payment_limit``: the same for `pay_bill`. ``many``: how many machines make the account's list long; more than one
    page of it, where it has pages. ``creates_again``: the service takes no key with an order, and creates a second
    machine if one request arrives twice; the plugin then has to release it.
    """

    name: str
    simulators: tuple[str, ...] = ()
    settings: Mapping[str, str] = field(factory=dict)
    machines: int = 4
    requirements: Requirements = Requirements()
    term: timedelta | None = None
    wants: Callable[[Offer], bool] = _is_available
    poll_interval: timedelta = timedelta(seconds=30)
    price_tolerance: Decimal = Decimal("0.02")
    release_limit: timedelta = timedelta(minutes=10)
    payment_limit: timedelta = timedelta(hours=1)
    many: int = 3
    creates_again: bool = False

    @property
    def entry(self) -> LeaseEntry:
        return installed_plugins().get_entry(LeaseEntry, self.name)

    @property
    def auth_entry(self) -> AuthEntry:
        return installed_plugins().get_entry(AuthEntry, self.entry.auth)

    @property
    def billing_entry(self) -> BillingEntry:
        return installed_plugins().get_entry(BillingEntry, self.entry.billing)

    @property
    def simulator_names(self) -> tuple[str, ...]:
        found = installed_plugins().get_entries(SimulatorEntry)
        default = [name for name in dict.fromkeys((self.name, self.entry.billing)) if name in found]
        return self.simulators or tuple(default)
