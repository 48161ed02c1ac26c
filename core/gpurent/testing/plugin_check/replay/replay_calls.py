"""What core asks of a plugin, so that each recorded answer is read again: first what only reads, then whole leases."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

from attrs import define, evolve, field

from gpurent.domain.evidence import Known, Unknown
from gpurent.domain.lease import Lease
from gpurent.domain.money import CNY, Currency
from gpurent.domain.offer import Metered, Offer, Order, OrderKind, Prepaid, Requirements
from gpurent.domain.secret import Secret
from gpurent.errors import GpurentError, UnexpectedResponse
from gpurent.roles.account import SupportsInvoices, SupportsStatement, SupportsWithdrawal
from gpurent.roles.entries import AuthEntry, BillingEntry, LeaseEntry, RateEntry
from gpurent.roles.lease import (
    LeaseProvider,
    SupportsInterruption,
    SupportsMailBinding,
    SupportsRenewal,
    SupportsRestart,
    SupportsStart,
    SupportsStop,
)
from gpurent.testing.lease_driver import LeaseDriver, refresh_as_core, release_as_core
from gpurent.testing.plugin_check.replay.answer_book import AnswerBook
from gpurent.testing.plugin_check.replay.replay_user import STAND_IN, ReplayUser

T = TypeVar("T")
CALL_LIMIT = 60.0
"""Real seconds for one call of the plugin."""
MAX_TURNS = 200
POLL_INTERVAL = timedelta(seconds=30)
PASSWORD = "Replayed-pass-7"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA replayed"


@define
class ReplayCalls:
    """The calls of one replay. ``recorded_text``: all requests of the recording, to find what was ordered.

    ``make_user`` makes a user at the time of the first answer.
    """

    make_user: Callable[[], ReplayUser]
    book: AnswerBook
    recorded_text: str
    user: ReplayUser = field(init=False)
    _numbers: count[int] = field(factory=lambda: count(1))

    def __attrs_post_init__(self) -> None:
        self.user = self.make_user()

    def begin_again(self) -> None:
        """Go back to the first answer and its time, with the logins that there are."""
        before, self.user = self.user, self.make_user()
        self.user.logins, self.user.credentials = before.logins, before.credentials
        self.book.begin_pass()

    async def call(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Make one call, and judge the answers that it got; None if it failed."""
        self.book.begin_call()
        error, url, answer = "", "", None
        try:
            async with asyncio.timeout(CALL_LIMIT):
                answer = await ask()
        except UnexpectedResponse as found:
            error, url = f"{found.message}", found.url
        except (GpurentError, TimeoutError, AssertionError):
            pass  # a refusal that the plugin understands, or something that was not recorded
        except Exception as found:  # noqa: BLE001 - a plugin may fail in any way on what it reads
            error = f"{type(found).__name__}: {found}"
        if isinstance(answer, Unknown) and self.book.given and self.book.given[-1].exchange.status < 400:
            error = f"{answer.reason}"
        self.book.close_call("" if self.book.missing else error, url)
        return answer

    async def repeat(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Make a call again until it has got all answers of its routes; return what the last one did."""
        self.book.begin_pass()
        return await self._go_on(ask, self.book.count_unused)

    async def go_on(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Make a call again as long as it gets answers that no call got before; return what the last one did."""
        return await self._go_on(ask, self.book.count_unserved)

    async def _go_on(self, ask: Callable[[], Awaitable[T]], count_left: Callable[[], int]) -> T | None:
        answer = None
        for _turn in range(MAX_TURNS):
            before = count_left()
            answer = await self.call(ask) or answer
            if count_left() == before:
                break
        return answer

    # reading

    async def log_in(self, entry: AuthEntry) -> None:
        role = entry.build(self.user.context(entry, entry.name))
        fields = await self.user.make_login_fields(entry, role)
        self.user.credentials[entry.name] = dict(fields)
        login = await self.call(lambda: role.log_in(fields))
        if login is not None:
            self.user.logins[entry.name] = login
        self.user.set_stand_in_login(entry.name)
        await self.repeat(lambda: role.is_valid(self.user.logins[entry.name]))

    async def read_account(self, entry: BillingEntry, auth: str) -> None:
        role: Any = entry.build(self.user.context(entry, auth))
        await self.repeat(role.get_balance)
        if isinstance(role, SupportsStatement):
            await self.repeat(role.get_statement)
        await self.repeat(lambda: role.get_rate(CNY))
        if isinstance(role, SupportsInvoices):
            await self.repeat(role.get_invoice_info)

    async def read_rates(self, entry: RateEntry) -> None:
        await self.repeat(entry.build(self.user.context(entry)).list_rates)

    async def read_provider(self, entry: LeaseEntry) -> tuple[Sequence[Offer], Sequence[Lease]]:
        """Return the offers and the leases that the recording has."""
        role = self.user.provider(entry.name)
        offers = [await self.repeat(lambda: role.list_offers(Requirements()))]
        if self.book.count_unserved():
            offers.append(await self.repeat(lambda: role.list_offers(Requirements(spot=True))))
        if self.book.count_unserved():
            offers.append(await self.repeat(lambda: role.list_offers(Requirements(gpu="RTX"))))
        leases = [await self.repeat(role.list_leases)]
        if isinstance(role, SupportsMailBinding):
            await self.repeat(role.get_bound_email)
        return _join_known(offers), _join_known(leases)

    # whole leases, only where answers are left

    async def use_account(self, entry: BillingEntry, auth: str) -> None:
        role: Any = entry.build(self.user.context(entry, auth))
        money = Currency(entry.currency, 2).money(100)
        balance = await self.call(role.get_balance)
        if balance is not None:
            money = balance.available.currency.money(100)
        await self.repeat(lambda: role.create_top_up(money))
        await self.repeat(role.suggest_top_up)
        if isinstance(role, SupportsInvoices):
            answers = {name: STAND_IN for name, _label in role.invoice_fields}
            await self.repeat(lambda: role.request_invoice(money, answers))
        if isinstance(role, SupportsWithdrawal):
            await self.repeat(lambda: role.withdraw(money))

    async def use_leases(self, entry: LeaseEntry, offers: Sequence[Offer], leases: Sequence[Lease]) -> None:
        """Rent what was ordered in the recording, then do with each lease what core does."""
        ordered = sorted(offers, key=lambda offer: offer.key not in self.recorded_text)
        for offer in ordered[:MAX_TURNS]:
            before = self.book.count_unserved()
            # What a lease became in the end is all that is left after the first life: a second one ends at once.
            for is_hurried in (False, True):
                if self.book.count_unserved():
                    await self._rent(entry, offer, is_hurried=is_hurried)
            if self.book.count_unserved() == before and offer.key not in self.recorded_text:
                break
        for lease in leases:
            if self.book.count_unserved():
                self.begin_again()
                driver = self._make_driver(entry)
                driver.lease = evolve(lease, id=f"listed-{lease.ref}", label=lease.label or STAND_IN)
                await self._use_lease(driver, is_hurried=True)

    def _make_driver(self, entry: LeaseEntry) -> LeaseDriver[LeaseProvider]:
        kind: Any = LeaseProvider
        return LeaseDriver(self.user, entry.name, kind, POLL_INTERVAL, retried_errors=())

    async def _rent(self, entry: LeaseEntry, offer: Offer, *, is_hurried: bool) -> None:
        self.begin_again()
        driver, key = self._make_driver(entry), self._make_key()
        reference = f"{STAND_IN}-{key}"
        self.user.vault(entry.name).put(reference, Secret(PASSWORD))
        tariff = offer.tariff
        order = Order(
            key=key,
            kind=OrderKind.NEW,
            offer=offer,
            term=(tariff.minimum or timedelta(hours=1)) if isinstance(tariff, Prepaid) else None,
            gpus=1 if offer.hardware.gpu else 0,
            public_key=PUBLIC_KEY if entry.key_only else "",
            password_ref="" if entry.key_only else reference,
        )
        await self.call(lambda: driver.reserve_lease(order))
        if driver.lease is not None:
            await self.call(driver.pay_and_confirm)
            await self.call(driver.wait_until_ready)
            await self._use_lease(driver, is_hurried=is_hurried)

    async def _use_lease(self, driver: LeaseDriver[LeaseProvider], *, is_hurried: bool) -> None:
        role: object = driver.provider
        now = self.user.clock.now

        async def refresh() -> None:
            driver.lease = await refresh_as_core(driver.provider, driver.current_lease, now())

        async def release() -> None:
            driver.lease = await release_as_core(driver.provider, driver.current_lease, now())

        if not is_hurried:
            await self.go_on(refresh)
            await self._change_lease(driver)
            await self.go_on(lambda: driver.billing.list_charges(driver.current_lease))
        await self.go_on(release)
        await self.go_on(refresh)
        await self.go_on(lambda: driver.billing.list_charges(driver.current_lease))
        if self.book.count_unserved() and isinstance(role, SupportsRestart):
            restart = role.make_restart_order(driver.current_lease, self._make_key())
            await self.call(lambda: driver.reserve_lease(restart))
            await self.call(driver.pay_and_confirm)
            await self.go_on(release)

    async def _change_lease(self, driver: LeaseDriver[LeaseProvider]) -> None:
        role: object = driver.provider
        tariff = driver.current_lease.offer.tariff
        steps: list[Callable[[], Awaitable[object]]] = []
        if isinstance(role, SupportsRenewal):
            steps.append(lambda: driver.renew_lease(timedelta(hours=1), self._make_key()))
        if isinstance(role, SupportsStop):
            steps.append(lambda: role.stop_lease(driver.current_lease))
        if isinstance(role, SupportsStart):
            steps.append(lambda: role.start_lease(driver.current_lease))
        if isinstance(role, SupportsInterruption) and isinstance(tariff, Metered):
            steps.append(lambda: role.change_bid(driver.current_lease, tariff.price))
        for step in steps:
            if self.book.count_unserved():
                await self.go_on(step)

    def _make_key(self) -> str:
        return f"{STAND_IN}-{next(self._numbers)}"


def _join_known(found: Sequence[Any]) -> list[Any]:
    """Return the items of all listings, each once."""
    every = [item for listing in found if isinstance(listing, Known) for item in listing.items]
    return list({getattr(item, "key", "") or getattr(item, "ref", ""): item for item in every}.values())
