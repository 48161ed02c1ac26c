"""Two shops, minute by minute, on the sandbox portals' own rules; what they list goes into a real ledger in batches.

Beside it runs the oracle. On the way: syncs that come twice, another process that enters first, a process that dies
with what it had not yet written.
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

from gpurent.domain.ledger import Key, LedgerLine, Transaction, lines, missing
from gpurent.domain.money import CNY, USD, Currency, Money, Rate
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.infra.sqlite.database import Database
from gpurent.infra.sqlite.ledger import SqliteLedger
from gpurent_plugin_gpu1024.simulator.records import ContainerOrder, GpuHost, rent
from gpurent_plugin_mistgpu.simulator.books import (
    MistgpuBooks,
    RentalMachine,
    RentedServer,
    ServerRun,
    SiteAccount,
)
from tests.ledger.oracle import FREE_HOURS, Meter, Prepaid

DBC = Currency("DBC", 8)
MINUTE = timedelta(minutes=1)
BATCH = 2_000
CARDS = (("1080Ti", "0.13"), ("2080Ti", "0.215"), ("V100", "0.7301"))


class Clerk:
    """Enters what the shops list, as `Bookkeeping.sync` does, but many at a time."""

    def __init__(self, path: Path, chance: random.Random, now: Any) -> None:
        self._path, self._chance, self._now = path, chance, now
        self._known: dict[str, dict[Key, LedgerLine]] = {"mistgpu": {}, "1024gpu": {}}
        self._batch: list[Transaction] = []
        self._listed: dict[str, dict[Key, tuple[Charge, str]]] = {"mistgpu": {}, "1024gpu": {}}
        self.database = Database(path)
        self.database.rows("PRAGMA synchronous=OFF")
        self.ledger = SqliteLedger(self.database, now)
        self.deaths = self.rivals = self._flushes = 0

    def sees(self, provider: str, charge: Charge, lease: str) -> None:
        """The shop (or the wallet, for a hold) lists ``charge``."""
        self._listed[provider][charge.ref, charge.kind] = charge, lease
        self._take(provider, charge, lease)
        if self._chance.random() < 0.02:
            self._take(provider, charge, lease)
        if len(self._batch) >= BATCH:
            self._flush()

    def _take(self, provider: str, charge: Charge, lease: str) -> None:
        known = self._known[provider]
        if charge.kind is ChargeKind.HOLD and any(key[0] == charge.ref for key in known):
            return
        for entry in missing(charge, provider, known, lease=lease, trip=f"t-{lease}", gpu="GPU"):
            key = (entry.ref, entry.kind)
            line = known.get(key)
            parts, money = (line.parts, line.money) if line else ((), entry.money.currency.zero)
            known[key] = LedgerLine(parts=(*parts, entry), money=money + entry.money)
            self._batch.append(entry)

    def _flush(self) -> None:
        self._flushes += 1
        if self._flushes % 16 == 3:
            self.die()
            return
        if self._flushes % 4 == 1:
            self._rival()
        self.ledger.enter(self._batch)
        self._batch.clear()

    def _rival(self) -> None:
        """Another process enters half of it first."""
        self.rivals += 1
        other = Database(self._path)
        try:
            SqliteLedger(other, self._now).enter(self._batch[: len(self._batch) // 2])
        finally:
            other.close()

    def die(self) -> None:
        """Gone with its batch; the next one looks at the file and asks the shops again."""
        self.deaths += 1
        self._batch.clear()
        self.catch_up()

    def catch_up(self) -> None:
        for provider, listed in self._listed.items():
            self._known[provider] = {line.key: line for line in lines(self.ledger.entries(provider=provider))}
            for charge, lease in listed.values():
                self._take(provider, charge, lease)
        self.ledger.enter(self._batch)
        self._batch.clear()


class Street:
    """``walk(minutes)`` lives; `clerk`, `meter` and `prepaid` are compared afterwards."""

    def __init__(self, path: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.at = datetime(2026, 1, 31, 12, tzinfo=UTC)
        self.clerk = Clerk(path, self.chance, lambda: self.at)
        self.meter, self.prepaid = Meter(), Prepaid()
        clock = SimpleNamespace(now=lambda: self.at)
        self.site = MistgpuBooks(SimpleNamespace(clock=clock, settings={}, machine_count=1))  # type: ignore[arg-type]
        self.site.accounts = {"u": SiteAccount("u", "p")}
        self.orders: dict[str, ContainerOrder] = {}
        self.locks: dict[str, int] = {}
        self.usd = Decimal("0.0026")
        self.minutes = self.prepaid_minutes = self.number = 0
        self.kept: dict[str, tuple[int, int, int]] = {}

    # the metered shop

    def _charge_of(self, server: RentedServer) -> Charge:
        run = server.runs[-1]
        return Charge(
            at=run.ended_at or self.at,
            kind=ChargeKind.USE,
            money=Money(run.paid, CNY),
            ref=f"{server.id}@{run.started_at.isoformat()}",
            growing=run.ended_at is None,
        )

    async def _metered(self) -> None:
        live = [server for server in self.site.servers.values() if server.running]
        if self.chance.random() < 0.004 or not self.meter.balance:
            amount = self.chance.randrange(1, 20_000)
            self.site.accounts["u"].balance += amount
            self.meter.top_up(amount)
            self._top_up("mistgpu", Money(amount, CNY))
        if len(live) < 12 and self.chance.random() < 0.3 and self.meter.balance > 0:
            self.number += 1
            price = self.chance.choice((59, 61, 300, 333, 350, 599))
            server = RentedServer(f"s{self.number}", "u", RentalMachine("m", "GPU", price), "d")
            server.runs.append(ServerRun(self.at, price))
            self.site.servers[server.id] = server
            self.meter.start(server.id, price)
            live.append(server)
        elif live and self.chance.random() < 0.005:
            server = self.chance.choice(live)
            await self.site.shut(server, self.at, "")
            self.meter.stop(server.id)
        await self.site.catch_up()
        self.minutes += len(self.meter.running)
        self.meter.minute()
        for server in live:
            if server.runs[-1].paid:
                self.clerk.sees("mistgpu", self._charge_of(server), server.id)
        for server in live:
            if not server.running:
                del self.site.servers[server.id]

    def _top_up(self, provider: str, money: Money) -> None:
        self.number += 1
        self._book(provider, ChargeKind.TOP_UP, money, f"top-up-{self.number}", "")

    def _book(self, provider: str, kind: ChargeKind, money: Money, ref: str, lease: str) -> None:
        rate = Rate(DBC, USD, self.usd, self.at, "ledger") if money.currency == DBC else None
        self.clerk.sees(provider, Charge(at=self.at, kind=kind, money=money, ref=ref, rate=rate), lease)

    # the prepaid shop

    def _dbc(self, kind: ChargeKind, units: int, lease: str) -> None:
        """What leaves is on hold first, then in the books."""
        self.number += 1
        ref = f"tx{self.number}"
        if kind in (ChargeKind.USE, ChargeKind.RENEWAL, ChargeKind.DEPOSIT) and self.chance.random() < 0.7:
            self._book("1024gpu", ChargeKind.HOLD, Money(units, DBC), ref, lease)
        self._book("1024gpu", kind, Money(units, DBC), ref, lease)

    def _price(self, card: GpuHost, minutes: int) -> int:
        units = rent(card, 1, minutes, self.usd)
        assert units == Prepaid.price(Fraction(str(card.price)), 1, minutes, Fraction(str(self.usd)))
        return units

    def _prepaid(self) -> None:
        chance, draw = self.chance, self.chance.random()
        self.usd = max(Decimal("0.0001"), self.usd + Decimal(chance.randrange(-3, 4)) / 10**6)
        if self.prepaid.balance < 300_000 * 10**8:
            units = 10**14 + chance.randrange(10**8)
            self.prepaid.top_up(units)
            self._top_up("1024gpu", Money(units, DBC))
        if draw < 0.02 and len(self.orders) < 8:
            self._order()
        elif draw < 0.025 and self.orders:
            self._renew(chance.choice(sorted(self.orders)))
        elif draw < 0.028:
            units = chance.randrange(10**4, 10**8)
            self.prepaid.fee(units)
            self._dbc(ChargeKind.FEE, units, "")
        elif draw < 0.034:
            self._deposit()
        for name, order in list(self.orders.items()):
            self.prepaid_minutes += 1
            if order.expires_at is not None and order.expires_at <= self.at:
                self._end(name, order, 0)
            elif chance.random() < 0.001:
                back = order.total + order.codes - order.used(self.at)
                assert back == self.prepaid.give_back(name, order.begun(self.at))
                self._end(name, order, back)
            elif chance.random() < 0.0001:
                early = self.at - (order.rented_at or self.at) < timedelta(hours=FREE_HOURS)
                back = order.total + order.codes if early else 0
                assert back == self.prepaid.fail(name, order.begun(self.at))
                self._end(name, order, back)

    def _order(self) -> None:
        self.number += 1
        name, code = f"o{self.number}", self.chance.randrange(10**4, 10**8)
        model, price = self.chance.choice(CARDS)
        card = GpuHost(name, model, Decimal(price), 11)
        minutes = 60 * self.chance.choice((1, 5, 24, 168))
        units = self._price(card, minutes)
        if self.chance.random() < 0.2:
            # Paid too late: the shop never took it, and sends all of it back.
            self.prepaid.too_late(units + code)
            self._dbc(ChargeKind.USE, units + code, name)
            self._dbc(ChargeKind.REFUND, units + code, name)
            self.kept[name] = (units + code, units + code, 0)
            return
        order = ContainerOrder(name, "w", card, "gpu", "payment", code, self.usd)
        order.rented_at, order.codes, order.terms = self.at, code, [(minutes, units)]
        self.orders[name] = order
        self.prepaid.rent(name, minutes, units, code)
        self._dbc(ChargeKind.USE, units + code, name)

    def _renew(self, name: str) -> None:
        order, code = self.orders[name], self.chance.randrange(10**4, 10**8)
        minutes = 60 * self.chance.choice((1, 24))
        units = self._price(order.machine, minutes)
        order.terms.append((minutes, units))
        order.codes += code
        self.prepaid.renew(name, minutes, units, code)
        self._dbc(ChargeKind.RENEWAL, units + code, name)

    def _end(self, name: str, order: ContainerOrder, back: int) -> None:
        if back:
            self._dbc(ChargeKind.REFUND, back, name)
        self.kept[name] = (order.total + order.codes, back, order.total + order.codes - back)
        del self.orders[name]

    def _deposit(self) -> None:
        if self.locks and self.chance.random() < 0.5:
            name, units = self.locks.popitem()
            self.prepaid.unlock(units)
            self._dbc(ChargeKind.DEPOSIT_BACK, units, name)
        elif len(self.locks) < 3:
            self.number += 1
            units = 60_000 * 10**8 + self.chance.randrange(10**8)
            self.locks[f"c{self.number}"] = units
            self.prepaid.lock(units)
            self._dbc(ChargeKind.DEPOSIT, units, f"c{self.number}")

    async def walk(self, events: int) -> None:
        """Until ``events`` minutes were metered; the prepaid ones come on top."""
        while self.minutes < events:
            await self._metered()
            self._prepaid()
            self.at += MINUTE
        self.clerk.catch_up()

    def stored(self) -> Iterator[tuple[int, str, int]]:
        """The postings as they lie in the file: entry, currency, amount."""
        for entry, code, amount in self.clerk.database.rows("SELECT entry, currency, amount FROM postings"):
            yield entry, code, int(amount)
