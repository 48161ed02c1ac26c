"""How long leases last, from the current balances of their accounts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

from attrs import frozen

from gpurent.domain.evidence import Known
from gpurent.domain.lease import Lease
from gpurent.domain.money import Currency, Money
from gpurent.domain.time_left import (
    SavedBalance,
    TimeKind,
    TimeLeft,
    drains_balance,
    sum_prices,
    time_left_by_balance,
)
from gpurent.errors import GpurentError
from gpurent.locale import _
from gpurent.roles.account import BillingProvider, PostpaidBilling
from gpurent.workflow.timing.time_left import LastSeenTimeReader, unknown_time_left

ACCOUNT_TIMEOUT = 30.0
MAX_RATE_AGE = timedelta(hours=6)


@frozen(eq=False)
class TimeLeftReader(LastSeenTimeReader):
    """Requests balances from the accounts, and saves them for the readers of last known values.

    ``find_account`` returns the user's account at a provider, empty if it is not known.
    """

    find_account: Callable[[str], str]

    async def get_time_left(self, leases: Sequence[Lease]) -> Mapping[str, TimeLeft]:
        """Return the time left by lease id. All leases on one account share its balance, even those not in ``leases``.

        If an account does not answer, its leases are UNKNOWN.
        """
        found, accounts = self.group_by_account(leases)
        figures = await asyncio.gather(
            *(self._get_account_time_left(*account) for account in accounts.items())
        )
        for figure, sharing in zip(figures, accounts.values(), strict=True):
            found.update(dict.fromkeys((lease.id for lease in sharing), figure))
        return found

    async def get_account_time_left(self, provider: str) -> TimeLeft:
        """Return how long the balance of the account at ``provider`` lasts for all that drains it, also volumes."""
        billing = self.plugins.provider_entry(provider).billing
        return await self._get_account_time_left(billing, (), provider)

    async def _get_account_time_left(
        self, billing: str, named: Sequence[Lease], provider: str = ""
    ) -> TimeLeft:
        """``provider``: one that is paid from the account, if ``named`` has no lease that says it."""
        try:
            async with asyncio.timeout(ACCOUNT_TIMEOUT):
                return await self._estimate_from_balance(billing, named, provider or named[0].provider)
        except GpurentError as error:
            return unknown_time_left(error.message)
        except TimeoutError:
            return unknown_time_left(_("no answer within {seconds:g} s").format(seconds=ACCOUNT_TIMEOUT))
        except Exception as error:  # noqa: BLE001 - one broken account must not hide what the others say
            return unknown_time_left(f"{type(error).__name__}: {error}")

    async def _estimate_from_balance(self, billing: str, named: Sequence[Lease], provider: str) -> TimeLeft:
        ours = await self.list_draining_leases(billing, named)
        others, note = await self._list_foreign_leases(ours)
        volumes = await self.list_volume_prices(billing)
        burn = sum_prices([*(lease.current_price for lease in (*ours, *others)), *volumes])
        account = self.plugins.billing(provider)
        if isinstance(account, PostpaidBilling):
            text = _("the account is billed afterwards")
            return TimeLeft(kind=TimeKind.OPEN, burn_rate=burn, note=note or text)
        balance = await account.get_balance()
        money, source = await self._convert_balance(billing, account, balance.available, burn.currency)
        account_name = self.find_account(provider)
        await self.store.put_last_balance(
            SavedBalance(billing=billing, account=account_name, money=money, at=balance.at)
        )
        now = self.clocks.clock_of(billing).now()
        return time_left_by_balance(money, balance.at, burn, now, note or source)

    async def _convert_balance(
        self, billing: str, account: BillingProvider, money: Money, currency: Currency
    ) -> tuple[Money, str]:
        """Return ``money`` in ``currency``, and a note on the exchange rate's source."""
        if money.currency == currency:
            return money, ""
        found = await account.get_rate(currency)
        rate = found.check_age(self.clocks.clock_of(billing).now(), MAX_RATE_AGE)
        return rate.convert(money, round_up=False), _("at the exchange rate of {source}").format(
            source=rate.source
        )

    async def _list_foreign_leases(self, ours: Sequence[Lease]) -> tuple[list[Lease], str]:
        """Return leases not rented by us that drain the same balance, and a note on them or on a failed request."""
        found: list[Lease] = []
        for provider in sorted({lease.provider for lease in ours}):
            mine = {lease.ref for lease in ours if lease.provider == provider}
            if "" in mine:
                # One of our leases is being created: it may be listed under a ref that we do not know yet.
                continue
            try:
                listed = await self.plugins.provider(provider).list_leases()
            except GpurentError as error:
                return found, error.message
            if isinstance(listed, Known):
                found += [lease for lease in listed.items if lease.ref not in mine and drains_balance(lease)]
        return found, _("including {count} not rented by gpurent").format(count=len(found)) if found else ""
