"""The demo: complete trips with a real job, one for each way of renting.

Shown on a terminal and checked against the simulators' ledgers.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from attrs import define, evolve, field, frozen

from gpurent.composition.application import Application
from gpurent.domain.events import Event, EventKind
from gpurent.domain.money import Money
from gpurent.domain.offer import Payment, Requirements
from gpurent.domain.question import Question
from gpurent.domain.receipt import Receipt
from gpurent.domain.trip import JobSpec, ResultsSpec, TripLimits, TripSpec, UploadSpec
from gpurent.errors import GpurentError
from gpurent.locale import _
from gpurent.ports.terminal import Progress, Terminal
from gpurent.roles.account import Balance
from gpurent.testing.sandbox.client import SandboxClient
from gpurent.workflow.runtime.waiting import run_in_background
from gpurent.workflow.trips.machine_work import TripResult

# Long enough to be cut off while it runs, even on a fast computer, and no burden for a slow one.
DEMO_JOB = ("train.py", "--epochs", "12", "--hidden", "16", "--sleep-per-epoch", "0.5")
Pay = Callable[[str, dict[str, Any]], Awaitable[None]]


@define
class DemoTerminal:
    """The user's own terminal that never prompts and agrees to each price; ``watchers`` get every event first."""

    inner: Terminal
    watchers: list[Callable[[Event], None]] = field(factory=list)
    is_interactive: bool = False
    can_confirm: bool = True

    def show_event(self, event: Event) -> None:
        for watcher in list(self.watchers):
            watcher(event)
        self.inner.show_event(event)

    async def confirm(self, question: Question) -> bool:
        return True

    async def choose(self, question: Question, choices: Mapping[str, str]) -> str | None:
        return next(iter(choices))

    async def ask_question(self, question: Question) -> str | None:
        return None

    def show_output(self, data: bytes) -> None:
        self.inner.show_output(data)

    def start_progress(self, title: str) -> Progress:
        return self.inner.start_progress(title)


@frozen(kw_only=True)
class DemoCheck:
    """A condition that must hold at the end, and whether it did."""

    description: str
    passed: bool


@frozen(kw_only=True)
class DemoTrip:
    """The outcome of one trip: its receipt, the simulators' ledger rows, and the checks."""

    provider: str
    end: TripResult
    receipt: Receipt
    ledger_rows: list[dict[str, Any]]
    accuracy: Decimal
    checks: tuple[DemoCheck, ...]


@define(kw_only=True)
class DemoScript:
    """Runs the demo's trips. ``post_payment`` posts to the sandbox's own pages, as the user's purchase would.

    ``folder``: where the results go; ``example``: the job's folder.
    """

    sandbox: SandboxClient
    application: Application
    terminal: DemoTerminal
    folder: Path
    example: Path
    post_payment: Pay
    print_line: Callable[[str], None]

    async def run_metered_trip(self, provider: str) -> DemoTrip:
        """Log in, top up, rent, upload, run, cut the connection on purpose, download, release; check the receipt."""
        money = self.application.account_money
        credentials = dict(self.sandbox.handle.logins[provider])
        await self.application.account_commands.log_in(provider, credentials)
        before = await self._top_up(provider)
        kinds: list[EventKind] = []
        self.terminal.watchers.append(lambda event: kinds.append(event.kind))
        end = await self._run_trip(TripSpec(provider=provider), self._cut_connections)
        after = await money.find_balance(provider)
        ledger_rows = self._get_ledger_rows((provider,))
        spent = _get_receipt(end).totals()[0].spent
        charged = -sum(line["minor"] for line in ledger_rows if line["minor"] < 0)
        checks = (
            *await self._check_job(end),
            DemoCheck(
                description=_("the connection was lost and restored"),
                passed=EventKind.CONNECTION_LOST in kinds,
            ),
            *_check_receipt(spent, charged, before, after),
        )
        return await self._make_demo_trip(provider, end, ledger_rows, checks)

    async def _top_up(self, provider: str) -> Balance | None:
        """Pay on the sandbox's page, and return the balance; None, and nothing is paid, if it bills afterwards."""
        money = self.application.account_money
        if await money.find_balance(provider) is None:
            self.print_line(_("{provider}: the account is billed afterwards").format(provider=provider))
            return None
        instructions = await money.topup_instructions(provider, Decimal(20))
        await self.post_payment(f"{instructions.top_up.url.rstrip('/')}/settle", {})
        balance = await money.get_balance(provider)
        self.print_line(
            _("{provider}: the balance is {balance}").format(provider=provider, balance=balance.available)
        )
        return balance

    async def run_staged_trip(self, provider: str, ledger: str, amount: str) -> DemoTrip:
        """Make a key, buy tokens, bind an e-mail address, and run a trip that stages on a machine with a deposit.

        Upload, switch, run, renew once, release with the mailed code.
        """
        money = self.application.account_money
        login = await self.application.account_commands.log_in(provider, {})
        await self.post_payment(
            f"{self.sandbox.status()['urls'][ledger]}/sandbox/faucet",
            {"address": login.account, "amount": amount},
        )
        before = await money.get_balance(provider)
        self.print_line(
            _("{provider}: the balance of {address} is {balance}").format(
                provider=provider, address=login.account, balance=before.available
            )
        )
        spec = TripSpec(
            provider=provider,
            requirements=Requirements(gpu="2080Ti"),
            limits=TripLimits(term=timedelta(days=1)),
        )
        end = await self._run_trip(spec, self._renew_lease)
        after = await money.get_balance(provider)
        ledger_rows = self._get_ledger_rows((provider, ledger))
        receipt = _get_receipt(end)
        totals = receipt.totals()[0]
        gone = totals.spent.amount + await self._binding_fee(end)
        left = sum(
            line["minor"]
            for line in ledger_rows
            if line["simulator"] == ledger and line["account"] == login.account
        )
        renewed = any(charge.kind.value == "renewal" for charge in receipt.charges)
        checks = (
            *await self._check_job(end),
            DemoCheck(description=_("renewed once"), passed=renewed),
            DemoCheck(description=_("the deposit was returned"), passed=totals.held.amount == 0),
            DemoCheck(
                description=_("paid - refunded = spent"), passed=totals.paid - totals.refunded == totals.spent
            ),
            DemoCheck(
                description=_("receipt + binding fee = balance before - balance after"),
                passed=gone == (before.available - after.available).amount,
            ),
            DemoCheck(
                description=_("receipt + binding fee = simulator's statement"),
                passed=gone == before.available.amount - left,
            ),
        )
        return await self._make_demo_trip(provider, end, ledger_rows, checks)

    async def _binding_fee(self, end: TripResult) -> int:
        paid = await self.application.store.find_step_value(end.trip_id, "bind-mail.pay", Payment)
        return paid.amount.amount if paid is not None else 0

    async def _run_trip(
        self, spec: TripSpec, meanwhile: Callable[[str], Coroutine[Any, Any, None]]
    ) -> TripResult:
        """Run the trip, and ``meanwhile(lease)`` once its job runs."""
        target = self._results_folder(spec.provider)
        target.mkdir(exist_ok=True)
        spec = evolve(
            spec,
            upload=UploadSpec(folder=str(self.example)),
            job=JobSpec(command=DEMO_JOB),
            results=ResultsSpec(paths=("out",), dir=str(target)),
        )
        started: asyncio.Queue[str] = asyncio.Queue()

        def on_event(event: Event) -> None:
            if event.kind is EventKind.JOB_STARTED:
                started.put_nowait(event.lease)

        async def cut_connections() -> None:
            await meanwhile(await started.get())

        self.terminal.watchers.append(on_event)
        try:
            async with run_in_background(cut_connections()) as disturbance:
                end = await self.application.trips.run(spec)
                await disturbance
        finally:
            self.terminal.watchers.remove(on_event)
        return end

    async def _cut_connections(self, lease: str) -> None:
        await asyncio.to_thread(self.sandbox.cut_connections)
        self.print_line(_("the demo drops the connection on purpose"))

    async def _renew_lease(self, lease: str) -> None:
        await self.application.lease_changes.renew(lease, timedelta(days=1))
        self.print_line(_("the demo renews {lease} for one more day").format(lease=lease))

    def _get_ledger_rows(self, simulators: tuple[str, ...]) -> list[dict[str, Any]]:
        ledgers = self.sandbox.status()["ledgers"]
        return [{"simulator": name, **line} for name in simulators for line in ledgers[name]]

    async def _check_job(self, end: TripResult) -> tuple[DemoCheck, ...]:
        return (
            DemoCheck(description=_("the job ended with exit code 0"), passed=end.exit_code == 0),
            DemoCheck(
                description=_("accuracy above 0.9"), passed=await self._read_accuracy(end) > Decimal("0.9")
            ),
        )

    async def _read_accuracy(self, end: TripResult) -> Decimal:
        provider = (await self.application.leases.get_lease(end.lease_id)).provider
        path = self._results_folder(provider) / "out" / "metrics.json"
        metrics = json.loads(path.read_text("utf-8"), parse_float=Decimal)
        return Decimal(metrics["accuracy"])

    def _results_folder(self, provider: str) -> Path:
        return self.folder / f"results-{provider}"

    async def _make_demo_trip(
        self, provider: str, end: TripResult, ledger_rows: list[dict[str, Any]], checks: tuple[DemoCheck, ...]
    ) -> DemoTrip:
        return DemoTrip(
            provider=provider,
            end=end,
            receipt=_get_receipt(end),
            ledger_rows=ledger_rows,
            accuracy=await self._read_accuracy(end),
            checks=checks,
        )


def _get_receipt(end: TripResult) -> Receipt:
    if end.receipt is None:
        raise GpurentError(f"trip {end.trip_id} has no receipt")
    return end.receipt


def _check_receipt(
    spent: Money, charged: int, before: Balance | None, after: Balance | None
) -> tuple[DemoCheck, ...]:
    """Compare the receipt with the balances and with what the simulator charged, in minor units."""
    if before is None or after is None:
        most = _("receipt, computed from price and time >= simulator's statement")
        return (DemoCheck(description=most, passed=spent.amount >= charged > 0),)
    return (
        DemoCheck(
            description=_("receipt = balance before - balance after"),
            passed=spent == before.available - after.available,
        ),
        DemoCheck(description=_("receipt = simulator's statement"), passed=spent.amount == charged),
    )
