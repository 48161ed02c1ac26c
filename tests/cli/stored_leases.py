"""A home with leases of several providers in all kinds of states, as a Store that no provider was asked for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from gpurent.domain.access import Endpoint
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.ledger import make_transaction
from gpurent.domain.money import CNY, USD, Currency, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer, Prepaid
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.domain.time_left import SavedBalance
from gpurent.domain.trip_values import make_trip_spec
from gpurent.infra.sqlite.store import SqliteStore

DBC = Currency("DBC", 15)
MINUTE = timedelta(minutes=1)
LONG_KEY = "8e4f" * 16


def make_home(home: Path) -> Path:
    home.mkdir(mode=0o700)
    now = datetime.now(UTC)
    store = SqliteStore(home / "journal.sqlite", lambda: now)
    asyncio.run(_fill(store, now))
    store.close()
    return home


def make_lease(
    name: str, key: str, gpu: str, tariff: Metered | Prepaid, stopped: str = "", **more: object
) -> Lease:
    provider = name.rpartition("-")[0].removesuffix("-lab")
    price = UnitPrice(Decimal(stopped), CNY) if stopped else None
    offer = Offer(
        provider=provider, key=key, hardware=Hardware(gpu=gpu, gpus=1), tariff=tariff, stopped_price=price
    )
    return Lease(id=name, provider=provider, offer=offer, **more)  # type: ignore[arg-type]


async def _fill(store: SqliteStore, now: datetime) -> None:
    per_minute = Metered(price=UnitPrice(Decimal("0.0533"), CNY, MINUTE))
    tokens = Prepaid(price=UnitPrice(Decimal("1234.56789012"), DBC))
    leases = [
        make_lease(
            "mistgpu-abc23", "1", "RTX 2080Ti", per_minute, state=LeaseState.READY, ref="20231",
            started_at=now - 192 * MINUTE, endpoint=Endpoint("root", "198.51.100.7", 22001),
        ),
        make_lease(
            "1024gpu-k2f7a", "2", "RTX 3090", tokens, state=LeaseState.READY, ref="ord-1",
            started_at=now - 60 * MINUTE, expires_at=now + timedelta(days=1, hours=2),
        ),
        make_lease(
            "compshare-zz9yx", "3", "RTX 4090", Metered(price=UnitPrice(Decimal("1.58"), CNY)), "0.04",
            state=LeaseState.STOPPED, started_at=now - timedelta(days=2), note="shut down on its console",
        ),
        make_lease(
            "vast-lab-m3n4p", "4", "H100 SXM", Metered(price=UnitPrice(Decimal("2.1345678"), USD)),
            state=LeaseState.INTERRUPTED, started_at=now - 40 * MINUTE,
        ),
        make_lease(
            "dbc-chain-q7q8r", LONG_KEY, "A100 80GB", Prepaid(price=UnitPrice(Decimal("0.00012345"), DBC)),
            state=LeaseState.PAYABLE,
        ),
    ]  # fmt: skip
    for lease in leases:
        await store.save_lease(lease)
    spec = make_trip_spec(
        {"provider": ("mistgpu",), "deadline": 300 * MINUTE, "command": ("python3", "train.py")}
    )
    await store.begin_trip("t1129-abd45", "run", spec, "mistgpu-abc23")
    await store.put_last_balance(
        SavedBalance(billing="mistgpu", money=CNY.money("42.50"), at=now - 10 * MINUTE)
    )
    await store.put_machine_timer("1024gpu-k2f7a", now + 300 * MINUTE)
    money = DBC.money("59259.258725760000001")
    charge = Charge(at=now, kind=ChargeKind.RENEWAL, money=money, ref="r1")
    await store.ledger.add_transactions([make_transaction(charge, "1024gpu", lease="1024gpu-k2f7a")])
    async with store.hold_lock("guard"):
        pass
