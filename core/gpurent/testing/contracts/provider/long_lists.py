"""Contract tests for lists that are long: every page of them is read, and a machine that is rented is on one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta

from gpurent.domain.evidence import Known
from gpurent.errors import SoldOut
from gpurent.roles.account import SupportsStatement
from gpurent.roles.simulator import SupportsPaging
from gpurent.testing.contracts.contract import skip_without
from gpurent.testing.contracts.provider.base import ProviderContractBase, open_provider
from gpurent.testing.contracts.provider.opened import Driver, OpenProvider
from gpurent.testing.contracts.provider.setup import ProviderSetup

USE = timedelta(minutes=97, seconds=13)
SPARE_MACHINES = 2


async def rent_many(opened: OpenProvider, number: int) -> Sequence[Driver]:
    """Rent so many machines; an offer of several machines is ordered again while it is available."""
    drivers: list[Driver] = []
    while len(drivers) < number:
        offers = await opened.list_offers()
        assert offers, (
            f"the simulator of {opened.name} has nothing to rent after {len(drivers)} machines of {number}: it "
            "has to have as many as SimulatorContext.machine_count says"
        )
        for offer in offers[: number - len(drivers)]:
            try:
                drivers.append(await opened.rent(await opened.make_order(offer=offer)))
            except SoldOut as error:
                raise AssertionError(f"{offer.key} was listed as available: {error.message}") from error
    return drivers


class LongListContract(ProviderContractBase):
    """Contract tests for the lists of a provider and of its account."""

    async def test_a_long_list_is_complete(self, provider_setup: ProviderSetup) -> None:
        many = provider_setup.many
        async with open_provider(provider_setup, machines=many + SPARE_MACHINES) as opened:
            refs = [driver.current_lease.ref for driver in await rent_many(opened, many)]
            assert len(set(refs)) == many, f"{many} orders are {len(set(refs))} machines"
            found = await opened.provider.list_leases()
            assert isinstance(found, Known), f"no list of leases: {found}"
            listed = [lease.ref for lease in found.items if not lease.is_over]
            assert sorted(listed) == sorted(refs), (
                f"{len(listed)} of {many} machines are listed: are all pages read?"
            )

    async def test_a_list_in_pages_of_any_size_is_the_same(self, opened: OpenProvider) -> None:
        """Offers, machines, charges and the statement, with one row on each page."""
        simulators: Sequence[object] = list(opened.sandbox.simulators.simulators.values())
        paged = [simulator for simulator in simulators if isinstance(simulator, SupportsPaging)]
        if not paged:
            skip_without(SupportsPaging.__name__, f"the simulator of {opened.name}")
        drivers = await rent_many(opened, 2)
        await opened.advance(USE)
        since = opened.faults.call_count
        whole = await self.list_everything(opened, drivers)
        calls, since = len(opened.list_calls(since)), opened.faults.call_count
        for simulator in paged:
            simulator.limit_pages(1)
        short = await self.list_everything(opened, drivers)
        for name, rows in whole.items():
            assert short[name] == rows, (
                f"{name}: {len(rows)} rows, but {len(short[name])} if a page has one row: are all pages read?"
            )
        assert len(opened.list_calls(since)) > calls, "no list took more requests: limit_pages has no effect"

    async def list_everything(
        self, opened: OpenProvider, drivers: Sequence[Driver]
    ) -> Mapping[str, Sequence[object]]:
        """Return what identifies each row of each list, in order."""
        found: dict[str, Sequence[object]] = {}
        offers = await opened.provider.list_offers(opened.setup.requirements)
        assert isinstance(offers, Known), f"no offers: {offers}"
        found["list_offers"] = sorted(offer.key for offer in offers.items)
        leases = await opened.provider.list_leases()
        assert isinstance(leases, Known), f"no list of leases: {leases}"
        found["list_leases"] = sorted(lease.ref for lease in leases.items)
        for number, driver in enumerate(drivers, 1):
            charges = await opened.billing.list_charges(driver.current_lease)
            assert isinstance(charges, Known), f"no charges: {charges}"
            found[f"list_charges of lease {number}"] = [
                (one.kind, one.ref, one.money) for one in charges.items
            ]
        billing: object = opened.billing
        if isinstance(billing, SupportsStatement):
            statement = await billing.get_statement()
            assert isinstance(statement, Known), f"no statement: {statement}"
            found["get_statement"] = [(one.kind, one.ref, one.money) for one in statement.items]
        return found
