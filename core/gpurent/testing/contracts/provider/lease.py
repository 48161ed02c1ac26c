"""Contract tests for `gpurent.roles.lease.LeaseProvider`: one lease from its order to its end, each step twice."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from attrs import evolve

from gpurent.domain.evidence import Absent, Known
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.offer import Metered, Prepaid
from gpurent.errors import SoldOut, Spent
from gpurent.testing.contracts.contract import skip_without
from gpurent.testing.contracts.provider.base import ProviderContractBase
from gpurent.testing.contracts.provider.gpu_sizes import find_sizes, is_plausible
from gpurent.testing.contracts.provider.opened import Driver, OpenProvider, show_lease
from gpurent.testing.lease_driver import refresh_as_core

MAX_REQUEST_SECONDS = 60
END_TOLERANCE = timedelta(minutes=10)
DAYS = timedelta(days=3)


async def check_released(opened: OpenProvider, driver: Driver) -> None:
    """Check that the lease is over, costs nothing any more, and that the books agree."""
    assert driver.current_lease.is_over, show_lease(driver.current_lease)
    assert opened.list_billed_machines() == [], "it is reported as over, and is still billed"
    await opened.settle()
    settled = opened.sum_ledger()
    await opened.advance(DAYS)
    assert opened.sum_ledger() == settled, "it goes on to cost money"
    assert await opened.list_discrepancies() == []


class LeaseContract(ProviderContractBase):
    """Contract tests for a provider whose machines are rented by an API."""

    # offers

    async def test_offers_have_a_key_a_price_and_a_machine(self, opened: OpenProvider) -> None:
        found = await opened.provider.list_offers(opened.setup.requirements)
        assert isinstance(found, Known)
        assert found.items
        assert len({offer.key for offer in found.items}) == len(found.items)
        for offer in found.items:
            assert offer.key
            assert offer.provider == opened.name
            assert offer.tariff.price.value > 0 or offer.deposit is not None
            assert offer.hardware.gpus >= 1 or not offer.hardware.gpu
        again = await opened.provider.list_offers(opened.setup.requirements)
        assert isinstance(again, Known)
        assert [offer.key for offer in again.items] == [offer.key for offer in found.items]

    async def test_the_memory_of_a_gpu_is_what_such_a_card_has(self, opened: OpenProvider) -> None:
        found = await opened.provider.list_offers(opened.setup.requirements)
        assert isinstance(found, Known)
        for offer in found.items:
            name, size = offer.hardware.gpu, offer.hardware.gpu_memory
            assert is_plausible(name, size), (
                f"{offer.key}: {size} GiB for each {name}, which has {' or '.join(map(str, find_sizes(name)))}: is it "
                "divided by 1024, and of one GPU?"
            )

    async def test_a_named_machine_is_among_the_offers_for_it(self, opened: OpenProvider) -> None:
        offer = (await opened.list_offers())[-1]
        found = await opened.provider.list_offers(evolve(opened.setup.requirements, machine=offer.key))
        assert isinstance(found, Known)
        assert offer.key in [one.key for one in found.items]

    # orders

    async def test_an_order_costs_nothing_before_it_is_paid_and_confirmed(self, opened: OpenProvider) -> None:
        before = opened.sum_ledger()
        driver = opened.make_driver()
        await driver.reserve_lease(await opened.make_order())
        lease = driver.current_lease
        assert lease.state in (LeaseState.REQUESTED, LeaseState.PAYABLE)
        assert lease.pending is not None
        assert lease.provider == opened.name
        bill = await driver.wait_for_bill()
        await opened.advance(timedelta(minutes=2))
        assert opened.list_billed_machines() == []
        assert opened.sum_ledger() == before
        assert bill.key == lease.pending.key
        assert bill.amount.amount >= 0
        assert bill.amount.currency.code == opened.setup.billing_entry.currency

    async def test_the_same_order_twice_is_one_order(self, opened: OpenProvider) -> None:
        order = await opened.make_order()
        first = await opened.provider.reserve_lease(order)
        second = await opened.provider.reserve_lease(order)
        assert first.pending is not None
        assert second.pending is not None
        assert (first.pending.key, first.pending.ref) == (second.pending.key, second.pending.ref)
        driver = await opened.rent(order)
        assert len(opened.list_billed_machines()) == 1
        await driver.release_lease()
        await check_released(opened, driver)

    async def test_an_order_that_is_dropped_is_cancelled(self, opened: OpenProvider) -> None:
        before = opened.sum_ledger()
        driver = opened.make_driver()
        await driver.reserve_lease(await opened.make_order())
        await driver.release_lease()
        assert driver.current_lease.state is LeaseState.CANCELLED, show_lease(driver.current_lease)
        await check_released(opened, driver)
        assert opened.sum_ledger() == before

    async def test_confirmed_twice_it_is_one_machine(self, opened: OpenProvider) -> None:
        driver = opened.make_driver()
        await driver.reserve_lease(await opened.make_order())
        reserved = driver.current_lease
        bill = await driver.wait_for_bill()
        payment = await driver.pay_bill(bill)
        reserved = driver.current_lease
        await driver.confirm_payment(payment)
        pending = reserved.pending
        assert pending is not None
        again = driver.make_process_lease(reserved, opened.clock.now())
        for _attempt in range(3):
            again = await opened.provider.confirm_lease(again, payment)
            await opened.advance(opened.setup.poll_interval)
        assert again.ref == driver.current_lease.ref
        assert again.pending is None
        done = await opened.provider.confirm_lease(again, payment)
        assert (done.ref, done.pending, done.state) == (again.ref, None, again.state)
        assert len(opened.list_billed_machines()) == 1
        await driver.wait_until_ready()
        await driver.release_lease()
        await check_released(opened, driver)

    async def test_a_taken_machine_is_sold_out_unspent(self, opened: OpenProvider) -> None:
        first = await opened.rent()
        offer = first.current_lease.offer
        if offer.key in [one.key for one in await opened.list_offers()]:
            skip_without("machine that one customer takes as a whole", opened.name)
        before = opened.sum_ledger()
        driver = opened.make_driver()
        with pytest.raises(SoldOut) as refused:
            await driver.rent_machine(await opened.make_order(offer=offer))
        assert refused.value.spent in (None, Spent.NO)
        assert len(opened.list_billed_machines()) == 1
        assert before - opened.sum_ledger() >= 0

    # the machine

    async def test_a_ready_lease_says_how_to_reach_its_machine(self, opened: OpenProvider) -> None:
        driver = await opened.rent()
        lease = driver.current_lease
        assert lease.ref
        assert lease.endpoint is not None
        assert lease.access_source.is_proof_of(lease.endpoint), "it does not say where the address comes from"
        assert lease.endpoint.user == opened.setup.entry.profile.user
        assert all(isinstance(value, str) for value in lease.provider_data.values())
        machine = opened.sandbox.machines.only_machine
        assert (machine.host, machine.port) == (lease.endpoint.host, lease.endpoint.port)
        if opened.setup.entry.key_only:
            lines = " ".join(machine.spec.authorized_keys)
            assert opened.public_key.split()[1] in lines, "the machine does not accept the lease's key"
        else:
            password = opened.user.vault(opened.name).get(lease.password_ref)
            assert password is not None, "the machine's password is not in the vault"
            assert password.reveal() == machine.spec.password

    async def test_a_lease_ends_when_its_tariff_says(self, opened: OpenProvider) -> None:
        order = await opened.make_order()
        driver = await opened.rent(order)
        lease, tariff = driver.current_lease, order.offer.tariff
        assert lease.started_at is None or lease.started_at <= opened.clock.now()
        if isinstance(tariff, Metered):
            assert lease.expires_at is None
            return
        assert isinstance(tariff, Prepaid)
        assert order.term is not None
        assert lease.expires_at is not None
        start = lease.started_at or opened.clock.now()
        assert abs(lease.expires_at - start - order.term) <= END_TOLERANCE

    async def test_it_is_listed_while_it_runs(self, opened: OpenProvider) -> None:
        driver = await opened.rent()
        found = await opened.provider.list_leases()
        assert isinstance(found, Known)
        assert [lease.ref for lease in found.items if not lease.is_over] == [driver.current_lease.ref]
        (listed,) = [lease for lease in found.items if not lease.is_over]
        assert listed.id == ""
        assert listed.provider == opened.name
        await driver.release_lease()
        await opened.settle()
        found = await opened.provider.list_leases()
        assert isinstance(found, Known)
        assert [lease.ref for lease in found.items if not lease.is_over] == []

    # the end

    async def test_a_release_ends_the_cost(self, opened: OpenProvider) -> None:
        driver = await opened.rent()
        assert len(opened.list_billed_machines()) == 1
        await opened.advance(timedelta(minutes=50))
        await driver.release_lease()
        await check_released(opened, driver)
        assert driver.current_lease.endpoint is None
        assert driver.current_lease.ended_at is not None

    async def test_released_again_it_stays_over(self, opened: OpenProvider) -> None:
        driver = await opened.rent()
        running = driver.current_lease
        await driver.release_lease()
        for lease in (driver.current_lease, running):
            again = await opened.provider.release_lease(lease)
            assert isinstance(again, Absent) or again.is_over, show_lease(again)
        seen = await refresh_as_core(opened.provider, driver.current_lease, opened.clock.now())
        assert seen.is_over
        await check_released(opened, driver)

    async def test_one_release_leaves_the_other_lease_alone(self, opened: OpenProvider) -> None:
        first, second = await opened.rent(), await opened.rent()
        assert len(opened.list_billed_machines()) == 2
        await first.release_lease()
        assert len(opened.list_billed_machines()) == 1
        seen = await refresh_as_core(opened.provider, second.current_lease, opened.clock.now())
        assert seen.state is LeaseState.READY, show_lease(seen)
        await second.release_lease()
        await check_released(opened, second)

    # time and concurrency

    async def test_no_call_waits_for_a_change(self, opened: OpenProvider) -> None:
        """All but a release, which may have to wait for a mailed code."""
        driver = opened.make_driver()
        order = await opened.make_order()
        await self.check_no_wait(opened, lambda: opened.provider.list_offers(opened.setup.requirements))
        await self.check_no_wait(opened, lambda: driver.provider.reserve_lease(order))
        await driver.reserve_lease(order)
        reserved = driver.current_lease
        await self.check_no_wait(opened, lambda: driver.provider.refresh_lease(reserved))
        payment = await driver.pay_bill(await driver.wait_for_bill())
        payable = driver.current_lease
        started = opened.clock.now()
        confirmed = await driver.provider.confirm_lease(payable, payment)
        assert opened.clock.now() == started, "confirm_lease waits"
        driver.lease = driver.merge_confirmed(payable, confirmed, opened.clock.now())
        unfinished = driver.current_lease
        await self.check_no_wait(opened, lambda: driver.provider.refresh_lease(unfinished))
        await driver.confirm_payment(payment)
        await driver.wait_until_ready()
        await self.check_no_wait(opened, lambda: driver.provider.refresh_lease(driver.current_lease))
        await self.check_no_wait(opened, driver.provider.list_leases)
        started = opened.clock.now()
        await driver.provider.release_lease(driver.current_lease)
        assert opened.clock.now() - started <= opened.setup.release_limit
        assert max(driver.faults.timeouts) <= MAX_REQUEST_SECONDS

    async def check_no_wait(self, opened: OpenProvider, call: object) -> None:
        assert callable(call)
        started = opened.clock.now()
        await call()
        assert opened.clock.now() == started, "the call waits"

    async def test_two_orders_at_once_are_two_machines(self, opened: OpenProvider) -> None:
        offers = await opened.list_offers()
        assert offers, f"the simulator of {opened.name} has no machine to rent"
        # An offer may stand for several machines.
        orders = [await opened.make_order(offer=offer) for offer in [*offers, *offers][:2]]
        drivers = await asyncio.gather(*(opened.rent(order) for order in orders))
        assert len({driver.current_lease.ref for driver in drivers}) == 2
        assert len(opened.list_billed_machines()) == 2
        found = await asyncio.gather(*(self.refresh_once(opened, driver) for driver in (*drivers, *drivers)))
        assert {lease.state for lease in found} == {LeaseState.READY}
        await asyncio.gather(*(driver.release_lease() for driver in drivers))
        for driver in drivers:
            await check_released(opened, driver)

    async def refresh_once(self, opened: OpenProvider, driver: Driver) -> Lease:
        return await refresh_as_core(opened.provider, driver.current_lease, opened.clock.now())
