"""Contract tests for `LeaseEntry.retention`: the simulator does what the entry states, when it states it."""

from __future__ import annotations

from datetime import datetime, timedelta

from gpurent.domain.lease import Lease
from gpurent.domain.offer import Metered
from gpurent.domain.retention import RetentionEffect, RetentionEvent, RetentionStep
from gpurent.domain.time_left import compute_runway
from gpurent.roles.lease import SupportsStop
from gpurent.testing.contracts.contract import require_capability, skip_without
from gpurent.testing.contracts.provider.base import ProviderContractBase
from gpurent.testing.contracts.provider.opened import Driver, OpenProvider
from gpurent.testing.contracts.provider.stopping import stop_lease

STEP = timedelta(minutes=10)
EARLY, LATE = timedelta(hours=2), timedelta(hours=3)
LATE_AT_A_TIME_OF_DAY = timedelta(hours=26)


class RetentionContract(ProviderContractBase):
    """Contract tests for what a service does by itself with machines that are shut down, or not paid any more."""

    def require_step(
        self, opened: OpenProvider, event: RetentionEvent, effect: RetentionEffect
    ) -> tuple[RetentionStep, timedelta]:
        """Return the step that the entry states with its time."""
        stated = [
            (step, step.after)
            for step in opened.setup.entry.retention
            if (step.event, step.effect) == (event, effect) and step.after is not None
        ]
        if not stated:
            skip_without(f"stated time of {event.value}, {effect.value}", opened.name)
        return stated[-1]

    def get_lateness(self, step: RetentionStep) -> timedelta:
        """Return how late it may happen: where a note limits it, at a later time of the day."""
        return LATE_AT_A_TIME_OF_DAY if step.note else LATE

    async def test_the_files_of_a_stopped_machine_are_kept_for_the_stated_time(
        self, opened: OpenProvider
    ) -> None:
        step, after = self.require_step(opened, RetentionEvent.STOPPED, RetentionEffect.DELETED)
        require_capability(opened.provider, SupportsStop, opened.name)
        driver = await opened.rent()
        data = opened.sandbox.machines.only_machine.spec.data
        shut = await stop_lease(opened, driver.current_lease)
        stopped_at = opened.clock.now()
        if shut.kept_until is not None:
            kept_for = shut.kept_until - stopped_at
            assert after - EARLY <= kept_for <= after + self.get_lateness(step), f"{kept_for} are told"
        await opened.advance(after - EARLY)
        assert data not in opened.sandbox.machines.erased, "the files are gone before the stated time"
        await opened.advance(EARLY + self.get_lateness(step))
        assert data in opened.sandbox.machines.erased, "the files are kept for longer than stated"

    async def test_without_money_machines_are_shut_down_after_the_stated_time(
        self, opened: OpenProvider
    ) -> None:
        _step, after = self.require_step(opened, RetentionEvent.BALANCE_USED_UP, RetentionEffect.STOPPED)
        driver = await opened.rent()
        end = await self.find_end_of_money(opened, driver)
        await opened.advance(max(timedelta(), end + after - EARLY - opened.clock.now()))
        assert opened.sandbox.machines.alive_machines, "it was shut down before the stated time"
        while opened.sandbox.machines.alive_machines:
            assert opened.clock.now() < end + after + LATE, "it runs for longer than stated"
            await opened.advance(STEP)

    async def test_without_money_machines_are_deleted_after_the_stated_time(
        self, opened: OpenProvider
    ) -> None:
        step, after = self.require_step(opened, RetentionEvent.BALANCE_USED_UP, RetentionEffect.DELETED)
        driver = await opened.rent()
        data = opened.sandbox.machines.only_machine.spec.data
        end = await self.find_end_of_money(opened, driver)
        await opened.advance(max(timedelta(), end + after - EARLY - opened.clock.now()))
        assert data not in opened.sandbox.machines.erased, "the files are gone before the stated time"
        await opened.advance(EARLY + self.get_lateness(step))
        assert data in opened.sandbox.machines.erased, "the files are kept for longer than stated"
        assert opened.list_billed_machines() == []

    async def find_end_of_money(self, opened: OpenProvider, driver: Driver) -> datetime:
        """Return when the balance is used up at the price of the machine."""
        lease: Lease = driver.current_lease
        tariff = lease.offer.tariff
        if not isinstance(tariff, Metered):
            skip_without("metered price", opened.name)
        balance = (await opened.get_balance()).available
        runway = compute_runway(balance, tariff.price)
        assert runway is not None
        return opened.clock.now() + runway
