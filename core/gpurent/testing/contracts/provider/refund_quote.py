"""Contract tests for `SupportsRefundQuote`: what is quoted comes back, by the simulator's ledger."""

from __future__ import annotations

from datetime import timedelta

from gpurent.domain.lease import Lease
from gpurent.domain.money import Money
from gpurent.domain.offer import Prepaid
from gpurent.domain.refunds import RefundQuote, compute_refund_slack
from gpurent.roles.lease import SupportsRefundQuote
from gpurent.testing.contracts.contract import require_capability
from gpurent.testing.contracts.provider.bad_answers import check_query
from gpurent.testing.contracts.provider.base import ProviderContractBase
from gpurent.testing.contracts.provider.opened import Driver, OpenProvider

USED = timedelta(minutes=17)


async def quote_refund(opened: OpenProvider, lease: Lease) -> Money:
    """Ask as a new process does."""
    return await require_capability(opened.provider, SupportsRefundQuote, opened.name).quote_refund(lease)


def sum_incoming(opened: OpenProvider) -> int:
    """Return all that ever came into the account by the simulator's ledger, in minor units."""
    lines = opened.ledger.list_ledger_entries()
    return sum(max(0, line.amount.amount) for line in lines if line.account == opened.account)


class RefundQuoteContract(ProviderContractBase):
    """Contract tests for what a provider says that it gives back for a lease."""

    async def rent_and_use(self, opened: OpenProvider) -> Driver:
        require_capability(opened.provider, SupportsRefundQuote, opened.name)
        driver = await opened.rent()
        await opened.advance(USED)
        return driver

    async def test_what_is_quoted_comes_back(self, opened: OpenProvider) -> None:
        driver = await self.rent_and_use(opened)
        lease, before = driver.current_lease, sum_incoming(opened)
        quote = RefundQuote(money=await quote_refund(opened, lease), at=opened.clock.now())
        tariff = lease.offer.tariff
        is_expected = isinstance(tariff, Prepaid) and tariff.refundable
        assert bool(quote.money.amount) == is_expected
        await driver.release_lease()
        slack = compute_refund_slack(driver.current_lease, quote).amount if is_expected else 0
        await opened.settle()
        returned = sum_incoming(opened) - before
        assert abs(returned - quote.money.amount) <= slack, f"{quote.money} was quoted, {returned} came back"

    async def test_a_quote_changes_nothing(self, opened: OpenProvider) -> None:
        driver = await self.rent_and_use(opened)
        before = opened.sum_ledger()
        quotes = [await quote_refund(opened, driver.current_lease) for _turn in range(2)]
        assert quotes[0] == quotes[1]
        assert opened.sum_ledger() == before
        assert opened.sandbox.machines.alive_machines
        assert (await driver.refresh_lease()).state is driver.current_lease.state

    async def test_a_quote_falls_as_time_goes_on(self, opened: OpenProvider) -> None:
        driver = await self.rent_and_use(opened)
        first = await quote_refund(opened, driver.current_lease)
        await opened.advance(USED)
        second = await quote_refund(opened, driver.current_lease)
        assert second < first if first.amount else second == first

    async def test_nothing_comes_back_for_what_is_over(self, opened: OpenProvider) -> None:
        driver = await self.rent_and_use(opened)
        await driver.release_lease()
        assert not (await quote_refund(opened, driver.current_lease)).amount

    async def test_a_bad_answer_is_no_quote(self, opened: OpenProvider) -> None:
        driver = await self.rent_and_use(opened)
        await check_query(opened, lambda: quote_refund(opened, driver.current_lease), str)
