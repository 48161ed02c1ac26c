"""Whole leases, driven as core does, for the answers that nobody gets who only reads."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from attrs import define, evolve

from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.offer import Bill, Hardware, Metered, Offer, Order, OrderKind, Payment, Prepaid
from gpurent.domain.secret import Secret
from gpurent.errors import GpurentError
from gpurent.roles.entries import LeaseEntry
from gpurent.roles.lease import (
    LeaseProvider,
    SupportsInterruption,
    SupportsMailBinding,
    SupportsRenewal,
    SupportsRestart,
    SupportsStaging,
    SupportsStart,
    SupportsStop,
    SupportsStopTimer,
)
from gpurent.testing.lease_driver import LeaseDriver, refresh_as_core, release_as_core
from gpurent.testing.plugin_check.replay.replay_calls import MAX_TURNS, ReplayCalls
from gpurent.testing.plugin_check.replay.replay_user import STAND_IN

POLL_INTERVAL = timedelta(seconds=30)
PASSWORD = "Replayed-pass-7"
EMAIL = "replayed@gpurent.invalid"
MAX_GUESSES = 12
PROOF = "0x" + "0" * 64
_REFERENCE = re.compile(r"(?<![\w.-])[A-Za-z0-9_-]{0,40}\d[A-Za-z0-9_-]{0,40}(?![\w.-])")
Driver = LeaseDriver[LeaseProvider]


@define
class ReplayLeases:
    """The leases of one provider in a replay."""

    calls: ReplayCalls
    entry: LeaseEntry

    @property
    def _has_answers(self) -> bool:
        return self.calls.book.count_unserved() > 0

    async def use(self, offers: Sequence[Offer], leases: Sequence[Lease]) -> None:
        """Rent what was ordered in the recording, then do with each lease what core does."""
        ordered = sorted(offers, key=lambda offer: offer.key not in self.calls.recorded_text)
        for offer in ordered[:MAX_TURNS]:
            before = self.calls.book.count_unserved()
            await self._rent_in_turns(offer)
            has_moved = self.calls.book.count_unserved() < before
            if not self._has_answers or not (has_moved or offer.key in self.calls.recorded_text):
                break
        for lease in leases:
            await self._end(evolve(lease, id=f"listed-{lease.ref}", label=lease.label or STAND_IN))
        if not leases:
            # A command that worked on a lease that it knew: its number is in the requests.
            for ref in list(dict.fromkeys(_REFERENCE.findall(self.calls.recorded_text)))[:MAX_GUESSES]:
                await self._end(_make_lease(self.entry.name, ref), is_guess=True)

    async def _rent_in_turns(self, offer: Offer) -> None:
        """Rent it more than once: what a lease became in the end is all that is left after its first life."""
        for is_staged in (True, False):
            for is_hurried in (False, True):
                role: object = self.calls.user.provider(self.entry.name)
                if self._has_answers and (isinstance(role, SupportsStaging) or not is_staged):
                    await self._rent(offer, is_staged=is_staged, is_hurried=is_hurried)

    def _make_driver(self) -> Driver:
        kind: Any = LeaseProvider
        return LeaseDriver(self.calls.user, self.entry.name, kind, POLL_INTERVAL, retried_errors=())

    def _make_order(self, offer: Offer) -> Order:
        key = self.calls.make_key()
        tariff = offer.tariff
        order = Order(
            key=key,
            kind=OrderKind.NEW,
            offer=offer,
            term=(tariff.minimum or timedelta(hours=1)) if isinstance(tariff, Prepaid) else None,
            gpus=1 if offer.hardware.gpu else 0,
        )
        if self.entry.key_only:
            return evolve(order, public_key=self.calls.public_key)
        self.calls.user.vault(self.entry.name).put(f"password-{key}", Secret(PASSWORD))
        return evolve(order, password_ref=f"password-{key}")

    async def _rent(self, offer: Offer, *, is_staged: bool, is_hurried: bool) -> None:
        self.calls.begin_again()
        driver, order = self._make_driver(), self._make_order(offer)
        role: object = driver.provider
        await self._bind_mail(driver)
        first = order
        if is_staged and isinstance(role, SupportsStaging):
            try:
                first = role.make_staging_order(order)
            except GpurentError:
                return
        if not await self._order(driver, first):
            return
        if is_staged:
            await self._order(driver, evolve(order, key=self.calls.make_key(), kind=OrderKind.SWITCH))
        await self._use_lease(driver, is_hurried=is_hurried, is_guess=False)

    async def _order(self, driver: Driver, order: Order) -> bool:
        """Place, pay and confirm an order, and wait for its machine; return whether there is a lease."""
        await self.calls.call(lambda: driver.reserve_lease(order))
        if driver.lease is None:
            return False
        bill = await self.calls.call(driver.wait_for_bill)
        if bill is not None:
            payment = await self._pay(driver, bill)
            await self.calls.call(lambda: driver.confirm_payment(payment))
            await self.calls.call(driver.wait_until_ready)
        return True

    async def _pay(self, driver: Driver, bill: Bill) -> Payment:
        """Pay the bill; where the recording has no payment, say that it was paid."""
        paid = await self.calls.call(lambda: driver.billing.pay_bill(bill))
        stand_in = Payment(key=bill.key, proof=PROOF, amount=bill.amount, at=self.calls.user.clock.now())
        return paid or stand_in

    async def _bind_mail(self, driver: Driver) -> None:
        role: object = driver.provider
        if not isinstance(role, SupportsMailBinding):
            return
        await self.calls.call(role.get_bound_email)
        binding = await self.calls.call(lambda: role.request_binding(EMAIL, self.calls.make_key()))
        if binding is None:
            return
        payment = await self._pay(driver, binding.bill) if binding.bill is not None else None
        await self.calls.go_on(lambda: role.complete_binding(binding, payment))

    async def _end(self, lease: Lease, *, is_guess: bool = False) -> None:
        if self._has_answers:
            self.calls.begin_again()
            driver = self._make_driver()
            driver.lease = lease
            await self._use_lease(driver, is_hurried=True, is_guess=is_guess)

    async def _use_lease(self, driver: Driver, *, is_hurried: bool, is_guess: bool) -> None:
        role: object = driver.provider
        now = self.calls.user.clock.now

        async def refresh() -> None:
            driver.lease = await refresh_as_core(driver.provider, driver.current_lease, now())

        async def release() -> None:
            driver.lease = await release_as_core(driver.provider, driver.current_lease, now())

        async def list_charges() -> object:
            return await driver.billing.list_charges(driver.current_lease)

        if is_guess:
            await self.calls.call(refresh, is_guess=True)
            await self.calls.call(release, is_guess=True)
            return
        if not is_hurried:
            await self.calls.go_on(refresh)
            await self._change_lease(driver)
            await self.calls.go_on(list_charges)
        for step in (release, refresh, list_charges):
            await self.calls.go_on(step)
        if self._has_answers and isinstance(role, SupportsRestart):
            restart = role.make_restart_order(driver.current_lease, self.calls.make_key())
            await self._order(driver, restart)
            await self.calls.go_on(release)

    async def _change_lease(self, driver: Driver) -> None:
        role: object = driver.provider
        tariff = driver.current_lease.offer.tariff
        steps: list[Callable[[], Awaitable[object]]] = []
        if isinstance(role, SupportsRenewal):
            steps.append(lambda: driver.renew_lease(timedelta(hours=1), self.calls.make_key()))
        if isinstance(role, SupportsStop):
            steps.append(lambda: role.stop_lease(driver.current_lease))
        if isinstance(role, SupportsStart):
            steps.append(lambda: role.start_lease(driver.current_lease))
        if isinstance(role, SupportsStopTimer):
            steps.append(lambda: role.set_stop_time(driver.current_lease, None))
        if isinstance(role, SupportsInterruption) and isinstance(tariff, Metered):
            steps.append(lambda: role.change_bid(driver.current_lease, tariff.price))
        for step in steps:
            if self._has_answers:
                await self.calls.go_on(step)


def _make_lease(provider: str, ref: str) -> Lease:
    """Return a lease of which nothing is known but its number."""
    tariff = Metered(price=UnitPrice.make_unknown(CNY))
    offer = Offer(key=ref, provider=provider, hardware=Hardware(), tariff=tariff)
    return Lease(id=f"named-{ref}", provider=provider, offer=offer, ref=ref, state=LeaseState.READY)
