"""Contract tests for what counts as knowing: a bad, short or late answer never ends a lease."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from gpurent.domain.evidence import Absent
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.lease_evidence import (
    CONFIRMATION_INTERVAL,
    apply_answer,
    mark_release_requested,
    restore_last_seen,
)
from gpurent.errors import GpurentError
from gpurent.roles.simulator import SupportsHiding
from gpurent.testing.contracts.contract import require_capability
from gpurent.testing.contracts.provider.bad_answers import (
    BAD_ANSWERS,
    BUSY,
    LOST_BEFORE,
    NO_ROUTE,
    QUERY_ANSWERS,
    RETRY_AFTER,
    BadAnswer,
    CallCounter,
    ask,
    check_query,
    faulty,
    show_known,
)
from gpurent.testing.contracts.provider.base import ProviderContractBase
from gpurent.testing.contracts.provider.opened import Driver, OpenProvider, show_lease
from gpurent.testing.lease_driver import refresh_as_core, release_as_core

HIDDEN = timedelta(minutes=20)


def show_answer(answer: Lease | Absent) -> object:
    """Return what of a refreshed lease must not change by a bad answer."""
    if isinstance(answer, Absent):
        return answer
    return answer.state, answer.ref, answer.endpoint, answer.expires_at, answer.pending is None


class ListingContract(ProviderContractBase):
    """Contract tests for the answers of a provider that say nothing."""

    async def test_a_bad_answer_is_no_list_of_offers(self, opened: OpenProvider) -> None:
        await check_query(opened, lambda: opened.provider.list_offers(opened.setup.requirements), _keys)

    async def test_a_bad_answer_is_no_list_of_leases(self, opened: OpenProvider) -> None:
        await opened.rent()
        await check_query(opened, opened.list_leases, show_known)

    async def test_a_bad_answer_says_nothing_of_a_lease(self, opened: OpenProvider) -> None:
        driver = await opened.rent()
        lease = driver.current_lease
        await check_query(opened, lambda: opened.provider.refresh_lease(lease), show_answer)
        seen = await refresh_as_core(opened.provider, lease, opened.clock.now())
        assert seen.state is LeaseState.READY

    async def test_a_bad_answer_says_nothing_of_an_order(self, opened: OpenProvider) -> None:
        """A lease that is ordered and not yet ready: its order is neither dropped nor taken for done."""
        driver = opened.make_driver()
        await driver.reserve_lease(await opened.make_order())
        payment = await driver.pay_bill(await driver.wait_for_bill())
        await driver.confirm_payment(payment)
        lease = driver.current_lease
        for answer in QUERY_ANSWERS:
            async with faulty(opened, answer):
                found = await ask(lambda: opened.provider.refresh_lease(lease), answer.name)
            if isinstance(found, Lease):
                assert not found.is_over, f"{answer.name}: {show_lease(found)}"
                assert found.ref == lease.ref
        assert (await driver.wait_until_ready()).ref == lease.ref

    async def test_a_bad_answer_to_a_release_is_no_end(self, opened: OpenProvider) -> None:
        """What is reported as over is not billed; what is not known is released by the next call."""
        driver = await opened.rent()
        counter = CallCounter(opened)
        await self.check_release(opened, driver, BUSY, 1)
        for nth in range(2, 1 + min(max(counter.count, 1), 6)):
            if driver.current_lease.is_over:
                break
            await self.check_release(opened, driver, BAD_ANSWERS[nth], nth)
        await driver.release_lease()
        assert opened.list_billed_machines() == []

    async def test_each_bad_answer_to_a_release_is_no_end(self, opened: OpenProvider) -> None:
        driver = await opened.rent()
        for answer in BAD_ANSWERS:
            if opened.list_billed_machines():
                await self.check_release(opened, driver, answer, 1)
        await driver.release_lease()
        assert opened.list_billed_machines() == []

    async def test_a_gateway_s_404_is_no_end_of_a_released_lease(self, opened: OpenProvider) -> None:
        """After our own release two answers that lack a lease end it: a bare 404 must not be one of them."""
        driver = await opened.rent()
        lease = mark_release_requested(driver.current_lease, opened.clock.now())
        for _look in range(3):
            async with faulty(opened, NO_ROUTE):
                for call in (opened.provider.release_lease, opened.provider.refresh_lease):
                    with suppress(GpurentError):
                        lease = apply_answer(lease, await call(restore_last_seen(lease)), opened.clock.now())
            assert not lease.is_over, (
                f"{NO_ROUTE.name}: it was taken for the service's own word that the machine is gone, and it is billed"
            )
            await opened.advance(2 * CONFIRMATION_INTERVAL)
        await driver.release_lease()
        assert opened.list_billed_machines() == []

    async def check_release(self, opened: OpenProvider, driver: Driver, answer: BadAnswer, nth: int) -> None:
        where = f"{answer.name} from call {nth} on"
        lease = driver.current_lease
        async with faulty(opened, answer, nth):
            found = await ask(lambda: release_as_core(opened.provider, lease, opened.clock.now()), where)
        is_billed = bool(opened.list_billed_machines())
        if isinstance(found, GpurentError):
            assert answer is not BUSY or getattr(found, "retry_after", None) == RETRY_AFTER, (
                f"{where}: retry_after is not passed on"
            )
            return
        assert not (found.is_over and is_billed), f"{where}: it is reported as over and still billed"

    async def test_absent_once_then_back_is_no_end(self, opened: OpenProvider) -> None:
        hiding = require_capability(opened.simulator, SupportsHiding, f"the simulator of {opened.name}")
        driver = await opened.rent()
        hiding.hide_machines(opened.clock.now() + HIDDEN)
        for lease in await self.look_again(opened, driver, 3):
            assert lease.state in (LeaseState.MISSING, LeaseState.READY), show_lease(lease)
        await opened.advance(HIDDEN)
        (seen,) = await self.look_again(opened, driver, 1)
        assert seen.state is LeaseState.READY, show_lease(seen)
        assert seen.absent_since is None

    async def test_a_list_that_lags_behind_does_not_order_twice(self, opened: OpenProvider) -> None:
        hiding = require_capability(opened.simulator, SupportsHiding, f"the simulator of {opened.name}")
        driver = opened.make_driver()
        await driver.reserve_lease(await opened.make_order())
        payment = await driver.pay_bill(await driver.wait_for_bill())
        hiding.hide_machines(opened.clock.now() + timedelta(seconds=40))
        await driver.confirm_payment(payment)
        await driver.wait_until_ready()
        assert len(opened.list_billed_machines()) == 1
        await driver.release_lease()
        assert opened.list_billed_machines() == []

    async def test_what_an_order_sent_again_creates_may_be_listed_late(self, opened: OpenProvider) -> None:
        """The first request was lost; the list lags behind the second one as it may behind a first."""
        hiding = require_capability(opened.simulator, SupportsHiding, f"the simulator of {opened.name}")
        driver = opened.make_driver()
        await driver.reserve_lease(await opened.make_order())
        payment = await driver.pay_bill(await driver.wait_for_bill())
        payable, now = driver.current_lease, opened.clock.now()
        async with faulty(opened, LOST_BEFORE, 1, times=1):
            answer = await ask(lambda: opened.provider.confirm_lease(payable, payment))
        driver.lease = (
            driver.make_process_lease(payable, now)
            if isinstance(answer, GpurentError)
            else driver.merge_confirmed(payable, answer, now)
        )
        for _look in range(100):
            if driver.current_lease.pending is None:
                break
            if not opened.list_billed_machines():
                hiding.hide_machines(opened.clock.now() + timedelta(seconds=50))
            asked, now = driver.current_lease, opened.clock.now()
            answer = await ask(lambda asked=asked: opened.provider.confirm_lease(asked, payment))  # type: ignore[misc]
            if isinstance(answer, Lease):
                driver.lease = driver.merge_confirmed(asked, answer, now)
            await opened.advance(driver.poll_interval)
        await driver.wait_until_ready()
        assert len(opened.list_billed_machines()) == 1
        await driver.release_lease()
        assert opened.list_billed_machines() == []

    async def test_a_release_is_sent_even_if_the_list_lacks_the_machine(self, opened: OpenProvider) -> None:
        hiding = require_capability(opened.simulator, SupportsHiding, f"the simulator of {opened.name}")
        driver = await opened.rent()
        hiding.hide_machines(opened.clock.now() + HIDDEN)
        await driver.release_lease()
        assert opened.list_billed_machines() == [], "a list without it was taken for its end"

    async def look_again(self, opened: OpenProvider, driver: Driver, times: int) -> Sequence[Lease]:
        """Refresh as core does, some times, each far enough from the last to confirm it."""
        found = []
        for _look in range(times):
            driver.lease = await refresh_as_core(opened.provider, driver.current_lease, opened.clock.now())
            found.append(driver.current_lease)
            await opened.advance(2 * CONFIRMATION_INTERVAL)
        return found


def _keys(found: object) -> object:
    items = getattr(found, "items", None)
    return None if items is None else [(offer.key, offer.tariff, offer.available) for offer in items]
