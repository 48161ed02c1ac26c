"""Two providers, minute by minute, by the simulators' own rules; their charges go into a real ledger in batches.

The oracle runs beside it. On the way there are duplicate syncs, another process that writes first, and a process that
dies before writing its batch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from gpurent.domain.ledger import LedgerLine, LineKey, Transaction, group_lines, make_missing_transactions
from gpurent.domain.money import CNY, USD, Currency, Money, Rate
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.infra.sqlite.database import Database
from gpurent.infra.sqlite.ledger import SqliteLedger
from gpurent_plugin_gpu1024.simulator.records import ContainerOrder, GpuHost, compute_rent
from gpurent_plugin_mistgpu.simulator.state import (
    MistgpuAccount,
    MistgpuState,
    RentalMachine,
    RentedServer,
    ServerRun,
)
from tests.ledger.billing_oracle import FREE_HOURS, MeteredOracle, PrepaidOracle

DBC = Currency("DBC", 8)
MINUTE = timedelta(minutes=1)
BATCH_SIZE = 2_000
CARDS = (("1080Ti", "0.13"), ("2080Ti", "0.215"), ("V100", "0.7301"))


class LedgerWriter:
    """Records what the providers list, as `ChainLedger.sync` does, but in batches."""

    def __init__(self, path: Path, rng: random.Random, now: Any) -> None:
        self._path, self._rng, self._now = path, rng, now
        self._known: dict[str, dict[LineKey, LedgerLine]] = {"mistgpu": {}, "1024gpu": {}}
        self._batch: list[Transaction] = []
        self._charges: dict[str, dict[LineKey, tuple[Charge, str]]] = {"mistgpu": {}, "1024gpu": {}}
        self.database = Database(path)
        self.database.fetch_rows("PRAGMA synchronous=OFF")
        self.ledger = SqliteLedger(self.database, now)
        self.crashes = self.concurrent_writes = self._flushes = 0

    async def add_charge(self, provider: str, charge: Charge, lease: str) -> None:
        """Record that the provider (or the wallet, for a hold) lists ``charge``."""
        self._charges[provider][charge.ref, charge.kind] = charge, lease
        self._queue_entries(provider, charge, lease)
        if self._rng.random() < 0.02:
            self._queue_entries(provider, charge, lease)
        if len(self._batch) >= BATCH_SIZE:
            await self._flush()

    def _queue_entries(self, provider: str, charge: Charge, lease: str) -> None:
        known = self._known[provider]
        if charge.kind is ChargeKind.HOLD and any(key[0] == charge.ref for key in known):
            return
        for entry in make_missing_transactions(
            charge, provider, known, lease=lease, trip=f"t-{lease}", gpu="GPU"
        ):
            key = (entry.ref, entry.kind)
            line = known.get(key)
            parts, money = (line.parts, line.money) if line else ((), entry.money.currency.zero)
            known[key] = LedgerLine(parts=(*parts, entry), money=money + entry.money)
            self._batch.append(entry)

    async def _flush(self) -> None:
        self._flushes += 1
        if self._flushes % 16 == 3:
            await self.crash()
            return
        if self._flushes % 4 == 1:
            await self._write_concurrently()
        await self.ledger.add_transactions(self._batch)
        self._batch.clear()

    async def _write_concurrently(self) -> None:
        """Let another process write half of the batch first."""
        self.concurrent_writes += 1
        other = Database(self._path)
        try:
            await SqliteLedger(other, self._now).add_transactions(self._batch[: len(self._batch) // 2])
        finally:
            other.close()

    async def crash(self) -> None:
        """Drop the batch, as a crash would; the next process reads the file and asks the providers again."""
        self.crashes += 1
        self._batch.clear()
        await self.recover()

    async def recover(self) -> None:
        for provider, listed in self._charges.items():
            self._known[provider] = {
                line.line_key: line
                for line in group_lines(await self.ledger.list_transactions(provider=provider))
            }
            for charge, lease in listed.values():
                self._queue_entries(provider, charge, lease)
        await self.ledger.add_transactions(self._batch)
        self._batch.clear()


class BillingSimulation:
    """`run_minutes` runs it; `writer`, `metered_oracle` and `prepaid_oracle` are compared afterwards."""

    def __init__(self, path: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.at = datetime(2026, 1, 31, 12, tzinfo=UTC)
        self.writer = LedgerWriter(path, self.rng, lambda: self.at)
        self.metered_oracle, self.prepaid_oracle = MeteredOracle(), PrepaidOracle()
        clock = SimpleNamespace(now=lambda: self.at)
        self.mistgpu_state = MistgpuState(SimpleNamespace(clock=clock, settings={}, machine_count=1))  # type: ignore[arg-type]
        self.mistgpu_state.accounts = {"u": MistgpuAccount("u", "p")}
        self.orders: dict[str, ContainerOrder] = {}
        self.locks: dict[str, int] = {}
        self.usd_per_dbc = Decimal("0.0026")
        self.minutes = self.prepaid_minutes = self.number = 0
        self.settled_orders: dict[str, tuple[int, int, int]] = {}

    # the metered provider

    def _charge_of(self, server: RentedServer) -> Charge:
        run = server.runs[-1]
        return Charge(
            at=run.ended_at or self.at,
            kind=ChargeKind.USAGE,
            money=Money(run.paid, CNY),
            ref=f"{server.id}@{run.started_at.isoformat()}",
            growing=run.ended_at is None,
        )

    async def _run_metered(self) -> None:
        live = [server for server in self.mistgpu_state.servers.values() if server.running]
        if self.rng.random() < 0.004 or not self.metered_oracle.balance:
            amount = self.rng.randrange(1, 20_000)
            self.mistgpu_state.accounts["u"].balance += amount
            self.metered_oracle.top_up(amount)
            await self._top_up("mistgpu", Money(amount, CNY))
        if len(live) < 12 and self.rng.random() < 0.3 and self.metered_oracle.balance > 0:
            self.number += 1
            price = self.rng.choice((59, 61, 300, 333, 350, 599))
            server = RentedServer(f"s{self.number}", "u", RentalMachine("m", "GPU", price), "d")
            server.runs.append(ServerRun(self.at, price))
            self.mistgpu_state.servers[server.id] = server
            self.metered_oracle.start(server.id, price)
            live.append(server)
        elif live and self.rng.random() < 0.005:
            server = self.rng.choice(live)
            await self.mistgpu_state.shut_down(server, self.at, "")
            self.metered_oracle.stop(server.id)
        await self.mistgpu_state.catch_up()
        self.minutes += len(self.metered_oracle.running)
        self.metered_oracle.charge_minute()
        for server in live:
            if server.runs[-1].paid:
                await self.writer.add_charge("mistgpu", self._charge_of(server), server.id)
        for server in live:
            if not server.running:
                del self.mistgpu_state.servers[server.id]

    async def _top_up(self, provider: str, money: Money) -> None:
        self.number += 1
        await self._add_charge(provider, ChargeKind.TOP_UP, money, f"top-up-{self.number}", "")

    async def _add_charge(self, provider: str, kind: ChargeKind, money: Money, ref: str, lease: str) -> None:
        rate = Rate(DBC, USD, self.usd_per_dbc, self.at, "ledger") if money.currency == DBC else None
        await self.writer.add_charge(
            provider, Charge(at=self.at, kind=kind, money=money, ref=ref, rate=rate), lease
        )

    # the prepaid provider

    async def _add_dbc_charge(self, kind: ChargeKind, units: int, lease: str) -> None:
        """Record a charge; outgoing money may first be on hold."""
        self.number += 1
        ref = f"tx{self.number}"
        if kind in (ChargeKind.USAGE, ChargeKind.RENEWAL, ChargeKind.DEPOSIT) and self.rng.random() < 0.7:
            await self._add_charge("1024gpu", ChargeKind.HOLD, Money(units, DBC), ref, lease)
        await self._add_charge("1024gpu", kind, Money(units, DBC), ref, lease)

    def _compute_price(self, card: GpuHost, minutes: int) -> int:
        units = compute_rent(card, 1, minutes, self.usd_per_dbc)
        assert units == PrepaidOracle.compute_price(
            Fraction(str(card.price)), 1, minutes, Fraction(str(self.usd_per_dbc))
        )
        return units

    async def _run_prepaid(self) -> None:
        rng, draw = self.rng, self.rng.random()
        self.usd_per_dbc = max(Decimal("0.0001"), self.usd_per_dbc + Decimal(rng.randrange(-3, 4)) / 10**6)
        if self.prepaid_oracle.balance < 300_000 * 10**8:
            units = 10**14 + rng.randrange(10**8)
            self.prepaid_oracle.top_up(units)
            await self._top_up("1024gpu", Money(units, DBC))
        if draw < 0.02 and len(self.orders) < 8:
            await self._rent_order()
        elif draw < 0.025 and self.orders:
            await self._renew_order(rng.choice(sorted(self.orders)))
        elif draw < 0.028:
            units = rng.randrange(10**4, 10**8)
            self.prepaid_oracle.pay_fee(units)
            await self._add_dbc_charge(ChargeKind.FEE, units, "")
        elif draw < 0.034:
            await self._move_deposit()
        for name, order in list(self.orders.items()):
            self.prepaid_minutes += 1
            if order.expires_at is not None and order.expires_at <= self.at:
                await self._end_order(name, order, 0)
            elif rng.random() < 0.001:
                refund = order.total + order.payment_marks_total - order.compute_cost(self.at)
                assert refund == self.prepaid_oracle.release_order(name, order.count_begun_minutes(self.at))
                await self._end_order(name, order, refund)
            elif rng.random() < 0.0001:
                early = self.at - (order.rented_at or self.at) < timedelta(hours=FREE_HOURS)
                refund = order.total + order.payment_marks_total if early else 0
                assert refund == self.prepaid_oracle.fail_order(name, order.count_begun_minutes(self.at))
                await self._end_order(name, order, refund)

    async def _rent_order(self) -> None:
        self.number += 1
        name, code = f"o{self.number}", self.rng.randrange(10**4, 10**8)
        model, price = self.rng.choice(CARDS)
        card = GpuHost(name, model, Decimal(price), 11)
        minutes = 60 * self.rng.choice((1, 5, 24, 168))
        units = self._compute_price(card, minutes)
        if self.rng.random() < 0.2:
            # Paid too late: the provider never accepted it and refunds all of it.
            self.prepaid_oracle.refund_late(units + code)
            await self._add_dbc_charge(ChargeKind.USAGE, units + code, name)
            await self._add_dbc_charge(ChargeKind.REFUND, units + code, name)
            self.settled_orders[name] = (units + code, units + code, 0)
            return
        order = ContainerOrder(name, "w", card, "gpu", "payment", code, self.usd_per_dbc)
        order.rented_at, order.payment_marks_total, order.terms = self.at, code, [(minutes, units)]
        self.orders[name] = order
        self.prepaid_oracle.rent_order(name, minutes, units, code)
        await self._add_dbc_charge(ChargeKind.USAGE, units + code, name)

    async def _renew_order(self, name: str) -> None:
        order, code = self.orders[name], self.rng.randrange(10**4, 10**8)
        minutes = 60 * self.rng.choice((1, 24))
        units = self._compute_price(order.machine, minutes)
        order.terms.append((minutes, units))
        order.payment_marks_total += code
        self.prepaid_oracle.renew_order(name, minutes, units, code)
        await self._add_dbc_charge(ChargeKind.RENEWAL, units + code, name)

    async def _end_order(self, name: str, order: ContainerOrder, refund: int) -> None:
        if refund:
            await self._add_dbc_charge(ChargeKind.REFUND, refund, name)
        paid = order.total + order.payment_marks_total
        self.settled_orders[name] = (paid, refund, paid - refund)
        del self.orders[name]

    async def _move_deposit(self) -> None:
        if self.locks and self.rng.random() < 0.5:
            name, units = self.locks.popitem()
            self.prepaid_oracle.unlock_deposit(units)
            await self._add_dbc_charge(ChargeKind.DEPOSIT_REFUND, units, name)
        elif len(self.locks) < 3:
            self.number += 1
            units = 60_000 * 10**8 + self.rng.randrange(10**8)
            self.locks[f"c{self.number}"] = units
            self.prepaid_oracle.lock_deposit(units)
            await self._add_dbc_charge(ChargeKind.DEPOSIT, units, f"c{self.number}")

    async def run_minutes(self, events: int) -> None:
        """Run until ``events`` metered minutes have passed; prepaid ones are additional."""
        while self.minutes < events:
            await self._run_metered()
            await self._run_prepaid()
            self.at += MINUTE
        await self.writer.recover()

    def read_postings(self) -> Iterator[tuple[int, str, int]]:
        """Yield the postings in the file: entry, currency, amount."""
        for entry, code, amount in self.writer.database.fetch_rows(
            "SELECT entry, currency, amount FROM postings"
        ):
            yield entry, code, int(amount)
