"""Two whole trips with a real job, one for each way of renting.

Shown on a terminal and checked against the simulators' own ledgers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from attrs import define, evolve, field, frozen

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.offer import Payment, Requirements
from gpurent.domain.question import Question
from gpurent.domain.receipt import Receipt
from gpurent.domain.trip import JobSpec, Results, TripLimits, TripSpec, Upload
from gpurent.errors import GpurentError
from gpurent.ports.terminal import Progress, Terminal
from gpurent.testing.sandbox.handle import Sandbox
from gpurent.workflow.runtime.waiting import in_background
from gpurent.workflow.trips.machine_work import TripEnd

# Long enough to be cut off while it runs, on a quick computer too.
JOB = ("train.py", "--epochs", "16")
Pay = Callable[[str, dict[str, Any]], Awaitable[None]]


@define
class Stage:
    """The user's own terminal, but nobody is asked; ``watchers`` hear every event first."""

    inner: Terminal
    watchers: list[Callable[[Event], None]] = field(factory=list)
    interactive: bool = False

    def show_event(self, event: Event) -> None:
        for watcher in list(self.watchers):
            watcher(event)
        self.inner.show_event(event)

    async def confirm(self, question: Question) -> bool:
        return False

    async def ask(self, question: Question) -> str | None:
        return None

    def show_output(self, data: bytes) -> None:
        self.inner.show_output(data)

    def start_progress(self, title: str) -> Progress:
        return self.inner.start_progress(title)


@frozen(kw_only=True)
class Check:
    """One thing that must be true at the end, and whether it was."""

    what: str
    good: bool


@frozen(kw_only=True)
class StoryTrip:
    """One trip as it went: the receipt, the simulators' own lines, and what was checked."""

    provider: str
    end: TripEnd
    receipt: Receipt
    books: list[dict[str, Any]]
    accuracy: Decimal
    checks: tuple[Check, ...]


@define(kw_only=True)
class Story:
    """Makes the trips. ``pay`` posts to the sandbox's own pages, as the user's purchase would.

    ``folder``: where the results go; ``example``: the job's folder.
    """

    sandbox: Sandbox
    application: Application
    stage: Stage
    folder: Path
    example: Path
    pay: Pay
    say: Callable[[str], None]

    async def metered(self, provider: str, username: str, password: str) -> StoryTrip:
        """Log in, top up, rent, upload, run; the connection is cut on purpose; results, release, receipt."""
        money = self.application.account_money
        given = {"username": username, "password": password}
        await self.application.account_commands.login(provider, given)
        instructions = await money.topup_instructions(provider, Decimal(20))
        await self.pay(f"{instructions.way.url.rstrip('/')}/settle", {})
        before = await money.balance(provider)
        self.say(f"{provider}: {before.available}")
        heard: list[EventKind] = []
        self.stage.watchers.append(lambda event: heard.append(event.kind))
        end = await self._run(TripSpec(provider=provider), self._cut_connections)
        after = await money.balance(provider)
        books = self._books((provider,))
        spent = _receipt(end).totals()[0].spent
        charged = -sum(line["minor"] for line in books if line["minor"] < 0)
        checks = (
            *self._common(end),
            Check(what="the line was cut, and taken up again", good=EventKind.LINE_LOST in heard),
            Check(what="receipt = balance before - after", good=spent == before.available - after.available),
            Check(what="receipt = portal's ledger", good=spent.amount == charged),
        )
        return self._trip(provider, end, books, checks)

    async def staged(self, provider: str, ledger: str, amount: str) -> StoryTrip:
        """Key, tokens, mail, a machine by deposit, upload, switch, run, renew once, return with the mailed code."""
        money = self.application.account_money
        login = await self.application.account_commands.login(provider, {})
        await self.pay(
            f"{self.sandbox.status()['urls'][ledger]}/sandbox/faucet",
            {"address": login.account, "amount": amount},
        )
        before = await money.balance(provider)
        self.say(f"{provider}: {login.account}  {before.available}")
        spec = TripSpec(
            provider=provider,
            requirements=Requirements(gpu="2080Ti"),
            limits=TripLimits(term=timedelta(days=1)),
        )
        end = await self._run(spec, self._renew)
        after = await money.balance(provider)
        books = self._books((provider, ledger))
        receipt = _receipt(end)
        totals = receipt.totals()[0]
        gone = totals.spent.amount + self._binding_fee(end)
        left = sum(
            line["minor"] for line in books if line["portal"] == ledger and line["account"] == login.account
        )
        renewed = any(charge.kind.value == "renewal" for charge in receipt.charges)
        checks = (
            *self._common(end),
            Check(what="renewed once", good=renewed),
            Check(what="the deposit is back", good=totals.held.amount == 0),
            Check(what="paid - refunded = spent", good=totals.paid - totals.refunded == totals.spent),
            Check(
                what="receipt + binding fee = balance before - after",
                good=gone == (before.available - after.available).amount,
            ),
            Check(
                what="receipt + binding fee = the chain's own ledger",
                good=gone == before.available.amount - left,
            ),
        )
        return self._trip(provider, end, books, checks)

    def _binding_fee(self, end: TripEnd) -> int:
        paid = self.application.store.recall_step(end.trip, "bind.pay", Payment)
        return paid.amount.amount if paid is not None else 0

    async def _run(self, spec: TripSpec, meanwhile: Callable[[str], Coroutine[Any, Any, None]]) -> TripEnd:
        """The trip, with ``meanwhile(lease)`` once its job runs."""
        target = self._results_folder(spec.provider)
        target.mkdir(exist_ok=True)
        spec = evolve(
            spec,
            upload=Upload(folder=str(self.example)),
            job=JobSpec(command=JOB),
            results=Results(paths=("out",), dir=str(target)),
        )
        started: asyncio.Queue[str] = asyncio.Queue()

        def hear(event: Event) -> None:
            if event.kind is EventKind.JOB_STARTED:
                started.put_nowait(event.lease)

        async def disturb() -> None:
            await meanwhile(await started.get())

        self.stage.watchers.append(hear)
        try:
            async with in_background(disturb()) as disturbing:
                end = await self.application.trips.run(spec)
                await disturbing
        finally:
            self.stage.watchers.remove(hear)
        return end

    async def _cut_connections(self, lease: str) -> None:
        cut = await asyncio.to_thread(self.sandbox.cut)
        self.say(f"-- {cut} line(s) cut on purpose --")

    async def _renew(self, lease: str) -> None:
        await self.application.lease_changes.renew(lease, timedelta(days=1))
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
        provider = self.application.leases.find_lease(end.lease).provider
        path = self._results_folder(provider) / "out" / "metrics.json"
        metrics = json.loads(path.read_text("utf-8"), parse_float=Decimal)
        return Decimal(metrics["accuracy"])

    def _results_folder(self, provider: str) -> Path:
        return self.folder / f"results-{provider}"

    def _trip(
        self, provider: str, end: TripEnd, books: list[dict[str, Any]], checks: tuple[Check, ...]
    ) -> StoryTrip:
        return StoryTrip(
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
