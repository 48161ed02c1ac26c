"""How long `gpurent costs` takes over many past trips, and how many statements it sends to the database.

.venv/bin/python bench/costs.py [--trips 2500 5000 10000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median

from attrs import evolve

from gpurent.cli.terminal import QuietTerminal
from gpurent.composition.application import Application
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.ledger import make_transaction
from gpurent.domain.money import CNY, UnitPrice
from gpurent.domain.offer import Bill, Hardware, Metered, Offer, Payment
from gpurent.domain.outcomes import DONE
from gpurent.domain.payments import AuthorizedBill
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.domain.trip import TripSpec
from gpurent.infra.registry import builtin_entries
from gpurent.infra.registry.registry import EntryPointRegistry
from gpurent.infra.sqlite.older_programs import register_as_newer
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.workflow.runtime.durable_steps import Timestamp

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
TEMPLATE = "t-00000"


async def create_trips(home: Path, count: int) -> None:
    """Create a data folder with ``count`` ended trips: each with a lease, its steps, a payment and two charges."""
    home.mkdir(mode=0o700)  # noqa: ASYNC240
    path = home / "journal.sqlite"
    store = SqliteStore(path, lambda: NOW)
    offer = Offer(
        provider="mistgpu",
        key="1",
        hardware=Hardware(gpu="2080Ti", gpus=1),
        tariff=Metered(price=UnitPrice(Decimal(3), CNY)),
    )
    bill = Bill(key=TEMPLATE, payee="p", amount=CNY.money(3))
    lease = Lease(
        id=TEMPLATE, provider="mistgpu", offer=offer, state=LeaseState.RELEASED, ref=TEMPLATE, started_at=NOW,
        ended_at=NOW + timedelta(hours=1), bills=(bill,),
    )  # fmt: skip
    await store.begin_trip(TEMPLATE, "run", TripSpec(provider="mistgpu"), TEMPLATE)
    payment = Payment(key=TEMPLATE, proof=TEMPLATE, amount=bill.amount, at=NOW)
    for name, value in (
        ("login", "done"), ("leg0.bill", bill), ("leg0.pay", payment), ("leg0.upload", "done"),
        ("leg0.launch", Timestamp(at=NOW)), ("leg0.monitor", Timestamp(at=NOW)), ("release", "released"),
    ):  # fmt: skip
        await store.begin_step(TEMPLATE, name)
        await store.record_step(TEMPLATE, name, value)
    await store.put_authorized_bill(
        AuthorizedBill(
            key=TEMPLATE,
            trip=TEMPLATE,
            lease=TEMPLATE,
            provider="mistgpu",
            amount=bill.amount,
            purpose=bill.purpose,
        )
    )
    await store.put_payment(TEMPLATE, payment)
    await store.end_trip(TEMPLATE, DONE)
    await store.save_lease(lease)
    charge = Charge(at=NOW, kind=ChargeKind.USAGE, money=bill.amount, ref=TEMPLATE)
    fee = evolve(charge, kind=ChargeKind.FEE, ref=f"{TEMPLATE}/fee", money=CNY.money("0.01"))
    await store.ledger.add_transactions(
        make_transaction(each, "mistgpu", lease=TEMPLATE, trip=TEMPLATE, gpu="2080Ti")
        for each in (charge, fee)
    )
    store.close()
    copy_rows(path, count)


def copy_rows(path: Path, count: int) -> None:
    """Copy the template's rows, with its id replaced, until there are ``count`` trips."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        names = [f"t-{number:05}" for number in range(1, count)]
        register_as_newer(db)
        db.execute("PRAGMA synchronous=OFF")
        db.execute("BEGIN")
        for table in ("trip_records", "steps", "lease_records", "payments", "postings", "entries"):
            rows = db.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - a constant
            marks = ", ".join("?" for _column in rows[0])
            for number, name in enumerate(names, 1):
                copies = [
                    tuple(_renamed(table, place, cell, name, number) for place, cell in enumerate(row))
                    for row in rows
                ]
                db.executemany(f"INSERT INTO {table} VALUES ({marks})", copies)  # noqa: S608 - likewise
        db.execute("COMMIT")


def _renamed(table: str, place: int, cell: object, name: str, number: int) -> object:
    if place == 0 and table in ("entries", "postings"):
        return int(str(cell)) + 2 * number
    return cell.replace(TEMPLATE, name) if isinstance(cell, str) else cell


async def measure(home: Path, rounds: int) -> tuple[float, int]:
    """Return the seconds of one report (median) and the number of statements."""
    registry = EntryPointRegistry.load(builtin=[builtin_entries])
    application = Application(registry, home, {}, QuietTerminal(quiet=True))
    statements: list[str] = []
    times = []
    try:
        await application.start()
        application.store._sessions._shared._db.set_trace_callback(statements.append)
        for _round in range(rounds):
            statements.clear()
            begun = time.perf_counter()
            await application.cost_reports.make_report("day")
            times.append(time.perf_counter() - begun)
    finally:
        await application.aclose()
    return median(times), len(statements)


def main(counts: Sequence[int], rounds: int) -> None:
    print(f"{'trips':>7} {'seconds':>8} {'statements':>11}")
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "home"
            asyncio.run(create_trips(home, count))
            seconds, statements = asyncio.run(measure(home, rounds))
            print(f"{count:>7} {seconds:>8.2f} {statements:>11}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trips", type=int, nargs="+", default=[2500, 5000, 10000])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    main(given.trips, given.rounds)
