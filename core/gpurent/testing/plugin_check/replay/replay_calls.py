"""What core asks of a plugin, so that each recorded answer is read again: login, account, offers, lists."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from typing import Any, TypeVar

from attrs import define, field

from gpurent.domain.evidence import Known, Unknown
from gpurent.domain.lease import Lease
from gpurent.domain.money import CNY, Currency
from gpurent.domain.offer import Offer, Requirements
from gpurent.errors import GpurentError, UnexpectedResponse
from gpurent.roles.account import SupportsInvoices, SupportsStatement, SupportsWithdrawal
from gpurent.roles.entries import AuthEntry, BillingEntry, LeaseEntry, RateEntry
from gpurent.roles.lease import (
    SupportsMailBinding,
)
from gpurent.roles.volumes import SupportsVolumes
from gpurent.testing.plugin_check.replay.answer_book import AnswerBook
from gpurent.testing.plugin_check.replay.replay_user import STAND_IN, ReplayUser

T = TypeVar("T")
CALL_LIMIT = 60.0
"""Real seconds for one call of the plugin."""
MAX_TURNS = 200
_ORDER_KEY = re.compile(r"(?<![\w-])t\d{4}-[a-z0-9]{5}(?:-[a-z0-9]+)+(?![\w-])")
_PUBLIC_KEY = re.compile(r"ssh-[a-z0-9-]+ <public-key-\d+>")
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
    _recorded_keys: list[str] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.user = self.make_user()

    @property
    def public_key(self) -> str:
        """The public key that was registered in the recording, as what stands for it; else any."""
        found = _PUBLIC_KEY.search(self.recorded_text)
        return found[0] if found else PUBLIC_KEY

    def begin_again(self) -> None:
        """Go back to the first answer and its time, with the logins that there are."""
        before, self.user = self.user, self.make_user()
        self.user.logins, self.user.credentials = before.logins, before.credentials
        self._recorded_keys = list(dict.fromkeys(_ORDER_KEY.findall(self.recorded_text)))
        self.book.begin_pass()

    async def call(self, ask: Callable[[], Awaitable[T]], *, is_guess: bool = False) -> T | None:
        """Make one call, and judge the answers that it got; None if it failed.

        ``is_guess``: it is made with values that may be wrong, so that not every error tells of the answer.
        """
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
            error = "" if is_guess else f"{type(found).__name__}: {found}"
        if isinstance(answer, Unknown) and self.book.given and self.book.given[-1].exchange.status < 400:
            error = f"{answer.reason}"
        self.book.close_call("" if self.book.missing else error, url, is_guess=is_guess)
        return answer

    async def repeat(self, ask: Callable[[], Awaitable[T]], *, is_guess: bool = False) -> T | None:
        """Make a call again until it has got all answers of its routes; return what the last one did."""
        self.book.begin_pass()
        return await self._go_on(ask, self.book.count_unused, is_guess=is_guess)

    async def go_on(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """Make a call again as long as it gets answers that no call got before; return what the last one did."""
        return await self._go_on(ask, self.book.count_unserved)

    async def _go_on(
        self, ask: Callable[[], Awaitable[T]], count_left: Callable[[], int], *, is_guess: bool = False
    ) -> T | None:
        answer, idle_turns = None, 0
        for _turn in range(MAX_TURNS):
            before = count_left()
            answer = await self.call(ask, is_guess=is_guess) or answer
            # One turn may only have found that something takes time.
            idle_turns = idle_turns + 1 if count_left() == before else 0
            if idle_turns > 1:
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
            offers.append(await self.repeat(lambda: role.list_offers(Requirements(spot=True)), is_guess=True))
        if self.book.count_unserved():
            offers.append(await self.repeat(lambda: role.list_offers(Requirements(gpu="RTX")), is_guess=True))
        leases = [await self.repeat(role.list_leases)]
        volumes: object = role
        if isinstance(volumes, SupportsVolumes) and self.book.count_unserved():
            await self.repeat(volumes.list_volume_offers, is_guess=True)
            await self.repeat(volumes.list_volumes, is_guess=True)
        if isinstance(role, SupportsMailBinding):
            await self.repeat(role.get_bound_email)
        return _join_known(offers), _join_known(leases)

    # what changes something, only where answers are left

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

    def make_key(self) -> str:
        """Return the key of an order: those of the recording first, since machines bear them as labels."""
        if self._recorded_keys:
            return self._recorded_keys.pop(0)
        return f"{STAND_IN}-{next(self._numbers)}"


def _join_known(found: Sequence[Any]) -> list[Any]:
    """Return the items of all listings, each once."""
    every = [item for listing in found if isinstance(listing, Known) for item in listing.items]
    return list({getattr(item, "key", "") or getattr(item, "ref", ""): item for item in every}.values())
