"""Two whole trips with a real job, one for each way of renting.

Told to a terminal and checked against the portals' books.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from gpurent.domain.events import Event, EventKind
from gpurent.domain.money import Money
from gpurent.domain.offer import Requirements
from gpurent.domain.receipt import Receipt
from gpurent.domain.trip import TripSpec
from gpurent.errors import GpurentError
from gpurent.roles.transfer import Progress
from gpurent.testing.sandbox.handle import Sandbox
from gpurent.workflow.runtime.desk import Desk
from gpurent.workflow.runtime.ui import Ui
from gpurent.workflow.trips.execute import TripEnd
from gpurent.workflow.trips.operations import Service

Pay = Callable[[str, dict[str, Any]], Awaitable[None]]


@define
class Stage:
    """The user's own display, with ears: ``watchers`` hear every event first, ``on_output`` the next output, once."""

    inner: Ui
    watchers: list[Callable[[Event], None]] = field(factory=list)
    on_output: Callable[[], None] | None = None
    interactive: bool = False

    def notify(self, event: Event) -> None:
        for watcher in list(self.watchers):
            watcher(event)
        self.inner.notify(event)

    def confirm(self, question: str) -> bool:
        return False

    def ask(self, label: str, secret: bool = False) -> str | None:
        return None

    def output(self, data: bytes) -> None:
        heard, self.on_output = self.on_output, None
        if heard is not None:
            heard()
        self.inner.output(data)

    def progress(self, title: str) -> Progress:
        return self.inner.progress(title)


@frozen(kw_only=True)
class Check:
    """One thing that must be true at the end, and whether it was."""

    what: str
    good: bool


@frozen(kw_only=True)
class Told:
    """One trip as it went: the receipt, the portals' own lines, and what was checked."""

    provider: str
    end: TripEnd
    receipt: Receipt
    books: list[dict[str, Any]]
    accuracy: Decimal
    checks: tuple[Check, ...]


@define(kw_only=True)
class Story:
    """Tells the trips. ``pay`` posts to the sandbox's own pages, as the user's purchase would."""

    sandbox: Sandbox
    desk: Desk
    stage: Stage
    example: Path
    pay: Pay
    say: Callable[[str], None]

    @property
    def service(self) -> Service:
        return Service(self.desk)

    async def metered(self, provider: str, username: str, password: str) -> Told:
        """Log in, top up, rent, upload, run; the line is cut on purpose; results, shut, receipt."""
        service = self.service
        await service.login(provider, {"username": username, "password": password})
        way = await service.topup(provider, Decimal(20))
        await self.pay(f"{way.url.rstrip('/')}/settle", {})
        before = await service.balance(provider)
        self.say(f"{provider}: {before.available}")
        heard: list[EventKind] = []
        self.stage.watchers.append(lambda event: heard.append(event.kind))
        end = await self._run(provider, TripSpec(provider=provider, wish=Requirements()), self._cut_line)
        after = await service.balance(provider)
        receipt = _receipt(end)
        books = self._books((provider,))
        spent = receipt.totals()[0].spent
        lines = [line for line in books if line["minor"] < 0]
        checks = (
            *self._common(end),
            Check(what="the line was cut, and taken up again", good=EventKind.LINE_LOST in heard),
            Check(what="receipt = balance before - after", good=spent == before.available - after.available),
            Check(
                what="receipt = portal's ledger", good=spent.amount == -sum(line["minor"] for line in lines)
            ),
        )
        return self._told(provider, end, books, checks)

    async def staged(self, provider: str, ledger: str, amount: str) -> Told:
        """Key, tokens, mail, a machine by deposit, upload, switch, run, renew once, return with the mailed code."""
        service = self.service
        login = await service.login(provider, {})
        await self.pay(
            f"{self.sandbox.status()['urls'][ledger]}/sandbox/faucet",
            {"address": login.account, "amount": amount},
        )
        before = await service.balance(provider)
        self.say(f"{provider}: {login.account}  {before.available}")
        fees: list[Money] = []
        want = TripSpec(provider=provider, wish=Requirements(gpu="2080Ti"), term=timedelta(days=1))
        end = await self._run(provider, want, self._renew)
        after = await service.balance(provider)
        receipt = _receipt(end)
        books = self._books((provider, ledger))
        fees = self._fees(end)
        totals = receipt.totals()[0]
        fee = sum((item.amount for item in fees), 0)
        checks = (
            *self._common(end),
            Check(
                what="renewed once", good=any(charge.kind.value == "renewal" for charge in receipt.charges)
            ),
            Check(what="the deposit is back", good=totals.held.amount == 0),
            Check(what="paid - refunded = spent", good=totals.paid - totals.refunded == totals.spent),
            Check(
                what="receipt + binding fee = balance before - after",
                good=totals.spent.amount + fee == (before.available - after.available).amount,
            ),
            Check(
                what="receipt + binding fee = the chain's own ledger",
                good=totals.spent.amount + fee
                == before.available.amount
                - sum(
                    line["minor"]
                    for line in books
                    if line["portal"] == ledger and line["account"] == login.account
                ),
            ),
        )
        return self._told(provider, end, books, checks)

    def _fees(self, end: TripEnd) -> list[Money]:
        from gpurent.domain.order import Payment

        paid = self.desk.journal.recall(end.trip, "bind.pay", Payment)
        return [paid.amount] if paid else []

    async def _run(
        self, provider: str, want: TripSpec, meanwhile: Callable[[str], Coroutine[Any, Any, None]]
    ) -> TripEnd:
        """The trip, with ``meanwhile(lease)`` once its job runs."""
        from attrs import evolve

        home = self.desk.home.parent / f"results-{provider}"
        home.mkdir(exist_ok=True)
        want = evolve(
            want,
            command=("train.py", "--epochs", "6"),
            folder=str(self.example),
            results=("out",),
            home=str(home),
        )
        started: asyncio.Queue[str] = asyncio.Queue()

        def hear(event: Event) -> None:
            if event.kind is EventKind.JOB_STARTED:
                started.put_nowait(event.lease)

        self.stage.watchers.append(hear)

        async def aside() -> None:
            await meanwhile(await started.get())

        task = asyncio.create_task(aside())
        try:
            end = await self.service.run(want)
            await task
        finally:
            task.cancel()
            self.stage.watchers.remove(hear)
        return end

    async def _cut_line(self, lease: str) -> None:
        def cut() -> None:
            self.say(f"-- {self.sandbox.cut()} line(s) cut on purpose --")

        # At the job's first words: then somebody listens on that line, however fast or slow this computer is.
        self.stage.on_output = cut

    async def _renew(self, lease: str) -> None:
        await self.service.renew(lease, timedelta(days=1))
        self.say(f"-- {lease}: one more day --")

    def _books(self, portals: tuple[str, ...]) -> list[dict[str, Any]]:
        ledgers = self.sandbox.status()["ledgers"]
        return [{"portal": name, **line} for name in portals for line in ledgers[name]]

    def _common(self, end: TripEnd) -> tuple[Check, ...]:
        return (
            Check(what="the job ended with 0", good=end.exit_code == 0),
            Check(what="accuracy above 0.9", good=self._accuracy(end) > Decimal("0.9")),
        )

    def _accuracy(self, end: TripEnd) -> Decimal:
        provider = self.desk.lease(end.lease).provider
        path = self.desk.home.parent / f"results-{provider}" / "out" / "metrics.json"
        metrics = json.loads(path.read_text("utf-8"), parse_float=Decimal)
        return Decimal(metrics["accuracy"])

    def _told(
        self, provider: str, end: TripEnd, books: list[dict[str, Any]], checks: tuple[Check, ...]
    ) -> Told:
        return Told(
            provider=provider,
            end=end,
            receipt=_receipt(end),
            books=books,
            accuracy=self._accuracy(end),
            checks=checks,
        )


def _receipt(end: TripEnd) -> Receipt:
    if end.receipt is None:
        raise GpurentError(f"trip {end.trip} has no receipt")
    return end.receipt
