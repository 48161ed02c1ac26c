"""The ledger over whole trips at both shops: receipts, costs, and what `reconcile` finds when books differ."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease
from gpurent.domain.ledger import Account, balances
from gpurent.domain.offer import Requirements
from gpurent.domain.receipt import ChargeKind
from gpurent.domain.trip import TripLimits, TripSpec, Upload
from gpurent.workflow.reports.reconcile import Difference
from tests.workflow.world import Person, World, world


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=240) as made:
        yield made


async def metered(land: World, application: Application) -> Lease:
    await application.account_commands.login("mistgpu", {"username": "student", "password": "student-pass"})
    await land.settle_alipay(application, "10")
    return await application.trips.rent(TripSpec(provider="mistgpu"))


async def staged(land: World, application: Application) -> Lease:
    await application.account_commands.login("1024gpu", {})
    await land.faucet(application, "90000")
    want = TripSpec(
        requirements=Requirements(gpu="2080Ti"),
        upload=Upload(staged=True),
        limits=TripLimits(term=timedelta(days=1)),
        provider="1024gpu",
    )
    lease = await application.trips.rent(want)
    lease = await application.lease_changes.renew(lease.id, timedelta(hours=3))
    await application.releases.release(lease.id)
    return lease


def wallet(application: Application, provider: str) -> list[int]:
    sums = balances(application.store.ledger.entries(provider=provider))
    return [money.amount for (account, _c), money in sums.items() if account == Account(f"wallet:{provider}")]


async def test_metered_trip_in_the_ledger(land: World, tmp_path: Path) -> None:
    async with land.application() as application:
        lease = await metered(land, application)
        books = application.bookkeeping
        await application.poller.pause(timedelta(minutes=5))
        assert await books.sync_lease(lease.id) == ""
        (running,) = books.lines(lease=lease.id)
        assert running.last.growing
        await application.poller.pause(timedelta(minutes=5))
        await application.releases.release(lease.id)
        (line,) = books.lines(lease=lease.id)
        assert not line.last.growing
        assert len(line.parts) >= 2, "what the meter added is a new entry"
        entries = application.store.ledger.entries()
        assert await books.sync_lease(lease.id) == ""
        assert application.store.ledger.entries() == entries, "a second sync enters nothing"
        assert await books.sync_account("mistgpu") == ""
        balance = (await application.account_money.balance("mistgpu")).available
        assert wallet(application, "mistgpu") == [balance.amount]
        (total,) = books.spending(provider="mistgpu")
        assert total.spent.amount == 1000 - balance.amount
        assert all(finding.fine for finding in await application.reconciliation.compare("mistgpu"))
    said = await land.cli("receipts", lease.id, "--json")
    (found,) = said.data
    assert found["totals"][0]["spent"]["minor"] == total.spent.amount
    assert (await land.cli("reconcile")).code == 0
    page = tmp_path / "costs.html"
    for way in ("day", "provider", "gpu", "trip"):
        said = await land.cli("costs", "--by", way, "--in", "CNY", "--html", str(page))
        assert said.code == 0, said.err
        assert str(total.spent) in said.out
        assert "█" in said.out
        ET.fromstring(page.read_text("utf-8"))  # noqa: S314 - our own page
    said = await land.cli("costs", "--in", "USD")
    assert f"Not converted, since no rate for it was stored: {total.spent}" in said.out


async def test_staged_trip_in_the_ledger(land: World) -> None:
    async with land.application() as application:
        lease = await staged(land, application)
        books = application.bookkeeping
        kinds = {line.last.kind for line in books.lines(lease=lease.id) if line.money.amount}
        assert {ChargeKind.USE, ChargeKind.RENEWAL, ChargeKind.REFUND} <= kinds
        assert ChargeKind.HOLD not in kinds, "what was on hold is posted, and the hold taken back"
        holds = [line for line in books.lines(lease=lease.id) if line.last.kind is ChargeKind.HOLD]
        assert holds
        assert all(hold.last.reversal for hold in holds)
        assert await books.sync_account("1024gpu") == ""
        balance = (await application.account_money.balance("1024gpu")).available
        assert wallet(application, "1024gpu") == [balance.amount]
        (total,) = books.spending(provider="1024gpu")
        assert total.held.amount == 0
        assert 90_000 * 10**8 - balance.amount == total.spent.amount, "the binding's fee is in it"
        for entry in application.store.ledger.entries(lease=lease.id):
            assert entry.gpu
            assert entry.trip
            assert entry.rate is not None or entry.kind is ChargeKind.HOLD
        trips = {entry.trip for entry in application.store.ledger.entries(lease=lease.id)}
        assert len(trips) == 2, "the renewal has a trip of its own"
        assert all(finding.fine for finding in await application.reconciliation.compare("1024gpu"))
        (rent,) = [row for row in application.trip_register.trips() if row.kind == "rent"]
    said = await land.cli("receipts", rent.id, "--json")
    assert {"use", "fee"} <= {charge["kind"] for charge in said.data[0]["receipt"]["charges"]}
    said = await land.cli("costs", "--in", "usd", "--by", "trip", "--json")
    found = said.data["costs"]
    assert found["lacking"] == []
    assert {money["currency"] for money in found["totals"]} == {"USD"}
    assert {rate["value"] for rate in found["rates"]} == {"0.0026"}
    said = await land.cli("costs", "--in", "CNY")
    assert "Not converted" in said.out
    assert (await land.cli("reconcile", "1024gpu")).code == 0


async def test_what_differs_is_explained_and_entered_anew(land: World) -> None:
    async with land.application() as application:
        lease = await metered(land, application)
        await application.poller.pause(timedelta(minutes=5))
        await application.releases.release(lease.id)
        await application.bookkeeping.sync_account("mistgpu")
        books = land.books("mistgpu")
        (server,) = books.servers.values()
        run = server.runs[-1]

        async def found() -> list[Difference]:
            return [
                item.what for item in await application.reconciliation.compare("mistgpu") if not item.fine
            ]

        assert await found() == []
        run.paid += 7
        assert await found() == [Difference.AMOUNT]
        run.paid -= 7
        server.runs.append(run)
        assert Difference.TWICE in await found()
        server.runs.pop()
        books.accounts["student"].balance += 1
        assert await found() == [Difference.BALANCE]
        books.accounts["student"].balance -= 1
        recharge = books.recharge("student", "5")
        books.settle(recharge)
        assert await found() == [Difference.MISSING_HERE]
        before = application.store.ledger.entries()
        assert application.reconciliation.enter(await application.reconciliation.compare("mistgpu")) == 1
        assert await found() == []
        run.paid += 7
        books.accounts["student"].balance -= 7
        assert application.reconciliation.enter(await application.reconciliation.compare("mistgpu")) == 2, (
            "a reversal and a new entry"
        )
        assert await found() == []
        assert list(application.store.ledger.entries())[: len(before)] == list(before)
        server.runs.remove(run)
        assert Difference.UNKNOWN in await found(), "a shop that does not list it tells nothing"
        server.runs.append(run)
    books.recharges.pop(recharge.id)
    said = await land.cli("reconcile", "--json")
    assert said.code == 5
    data = said.data
    assert not data["agrees"]
    assert [item["what"] for item in data["findings"] if item["what"] != "equal"] == ["missing-there"]


async def test_books_that_fail_stop_no_trip_and_are_made_good_later(land: World) -> None:
    person = Person()
    async with land.application(person) as application:
        await application.account_commands.login("1024gpu", {})
        await land.faucet(application, "90000")
        wallet: Any = application.plugins.billing("1024gpu")
        good = wallet.charges

        async def broken(lease: Lease) -> None:
            raise ValueError("a plugin's fault")

        wallet.charges = broken
        want = TripSpec(
            requirements=Requirements(cpu_only=True, gpus=0),
            limits=TripLimits(term=timedelta(days=1)),
            provider="1024gpu",
        )
        lease = await application.trips.rent(want)
        books = application.bookkeeping
        warnings = [event.text for event in person.events if event.kind is EventKind.WARNING]
        assert any("ValueError: a plugin's fault" in text for text in warnings), warnings
        (line,) = books.lines(lease=lease.id)
        assert line.last.kind is ChargeKind.HOLD, "the wallet paid, the books are not known"
        (total,) = books.spending(lease=lease.id)
        assert total.held == line.money
        assert [item.what for item in await application.reconciliation.compare("1024gpu") if item.lease] == [
            Difference.UNKNOWN
        ]
        wallet.charges = good
        assert await books.sync_lease(lease.id) == ""
        (total,) = books.spending(lease=lease.id)
        assert total.held == line.money, "a deposit by the books now"
        kinds = {found.last.kind for found in books.lines(lease=lease.id) if found.money.amount}
        assert kinds == {ChargeKind.DEPOSIT}
        await application.releases.release(lease.id)
        (total,) = books.spending(lease=lease.id)
        assert (total.held.amount, total.spent.amount) == (0, 0)


async def test_an_unreachable_shop_is_said_and_made_good_later(land: World) -> None:
    async with land.application() as application:
        lease = await staged(land, application)
        total = application.bookkeeping.spending(lease=lease.id)
    land.extra["GPURENT_DBC_URL"] = "http://127.0.0.1:9"
    said = await land.cli("receipts", lease.id, "--json")
    (found,) = said.data
    assert found["receipt"]["note"]
    assert found["totals"][0]["spent"]["minor"] == total[0].spent.amount
    said = await land.cli("reconcile")
    assert said.code == 5
    assert "unknown, the books there could not be read" in said.out
    del land.extra["GPURENT_DBC_URL"]
    assert (await land.cli("reconcile", "--enter")).code == 0
