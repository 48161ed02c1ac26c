"""The ledger over whole trips at both providers: receipts, costs, and what `reconcile` finds when books differ."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.domain.evidence import Known, Unknown
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.ledger import LedgerAccount, sum_balances
from gpurent.domain.offer import Requirements
from gpurent.domain.receipt import Charge, ChargeKind
from gpurent.domain.trip import TripLimits, TripSpec, UploadSpec
from gpurent.workflow.reports.ledger_findings import Difference
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=240) as made:
        yield made


async def rent_metered(sandbox: TripSandbox, application: Application) -> Lease:
    await application.account_commands.log_in("mistgpu", {"username": "student", "password": "student-pass"})
    await sandbox.top_up_mistgpu(application, "10")
    return await application.trips.rent(TripSpec(provider="mistgpu"))


async def rent_staged(sandbox: TripSandbox, application: Application) -> Lease:
    await application.account_commands.log_in("1024gpu", {})
    await sandbox.add_dbc(application, "90000")
    spec = TripSpec(
        requirements=Requirements(gpu="2080Ti"),
        upload=UploadSpec(staged=True),
        limits=TripLimits(term=timedelta(days=1)),
        provider="1024gpu",
    )
    lease = await application.trips.rent(spec)
    lease = await application.lease_changes.renew(lease.id, timedelta(hours=3))
    await application.releases.release_lease(lease.id)
    return lease


async def list_wallet_amounts(application: Application, provider: str) -> list[int]:
    sums = sum_balances(await application.store.ledger.list_transactions(provider=provider))
    return [
        money.amount
        for (account, _c), money in sums.items()
        if account == LedgerAccount(f"wallet:{provider}")
    ]


async def test_metered_trip_in_the_ledger(sandbox: TripSandbox, tmp_path: Path) -> None:
    async with sandbox.open_application() as application:
        lease = await rent_metered(sandbox, application)
        bookkeeping = application.bookkeeping
        await application.poller.pause(timedelta(minutes=5))
        assert await bookkeeping.sync_lease(lease.id) == ""
        (running,) = await bookkeeping.list_lines(lease=lease.id)
        assert running.last.growing
        await application.poller.pause(timedelta(minutes=5))
        await application.releases.release_lease(lease.id)
        (line,) = await bookkeeping.list_lines(lease=lease.id)
        assert not line.last.growing
        assert len(line.parts) >= 2, "what the meter added is a new entry"
        entries = await application.store.ledger.list_transactions()
        assert await bookkeeping.sync_lease(lease.id) == ""
        assert await application.store.ledger.list_transactions() == entries, "a second sync enters nothing"
        assert await bookkeeping.sync_account("mistgpu") == ""
        balance = (await application.account_money.get_balance("mistgpu")).available
        assert await list_wallet_amounts(application, "mistgpu") == [balance.amount]
        (total,) = await bookkeeping.sum_spending(provider="mistgpu")
        assert total.spent.amount == 1000 - balance.amount
        assert all(
            finding.is_consistent for finding in await application.reconciliation.compare_provider("mistgpu")
        )
    result = await sandbox.run_command("receipts", lease.id, "--json")
    (found,) = result.data
    assert found["totals"][0]["spent"]["minor"] == total.spent.amount
    assert (await sandbox.run_command("reconcile")).code == 0
    page = tmp_path / "costs.html"
    for grouping in ("day", "provider", "gpu", "trip"):
        result = await sandbox.run_command("costs", "--by", grouping, "--in", "CNY", "--html", str(page))
        assert result.code == 0, result.err
        assert str(total.spent) in result.out
        assert "█" in result.out
        ET.fromstring(page.read_text("utf-8"))  # noqa: S314 - our own page
    result = await sandbox.run_command("costs", "--in", "USD")
    assert f"Not converted, no exchange rate was stored: {total.spent}" in result.out


@pytest.mark.nightly
async def test_staged_trip_in_the_ledger(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        lease = await rent_staged(sandbox, application)
        bookkeeping = application.bookkeeping
        kinds = {line.last.kind for line in await bookkeeping.list_lines(lease=lease.id) if line.money.amount}
        assert {ChargeKind.USAGE, ChargeKind.RENEWAL, ChargeKind.REFUND} <= kinds
        assert ChargeKind.HOLD not in kinds, "what was on hold is posted, and the hold taken back"
        holds = [
            line for line in await bookkeeping.list_lines(lease=lease.id) if line.last.kind is ChargeKind.HOLD
        ]
        assert holds
        assert all(hold.last.reversal for hold in holds)
        assert await bookkeeping.sync_account("1024gpu") == ""
        balance = (await application.account_money.get_balance("1024gpu")).available
        assert await list_wallet_amounts(application, "1024gpu") == [balance.amount]
        (total,) = await bookkeeping.sum_spending(provider="1024gpu")
        assert total.held.amount == 0
        assert 90_000 * 10**8 - balance.amount == total.spent.amount, "the binding's fee is in it"
        for entry in await application.store.ledger.list_transactions(lease=lease.id):
            assert entry.gpu
            assert entry.trip
            assert entry.rate is not None or entry.kind is ChargeKind.HOLD
        trips = {entry.trip for entry in await application.store.ledger.list_transactions(lease=lease.id)}
        assert len(trips) == 2, "the renewal has a trip of its own"
        assert all(
            finding.is_consistent for finding in await application.reconciliation.compare_provider("1024gpu")
        )
        (rent,) = [row for row in await application.trip_tracker.list_trips() if row.kind == "rent"]
    result = await sandbox.run_command("receipts", rent.id, "--json")
    assert {"usage", "fee"} <= {charge["kind"] for charge in result.data[0]["receipt"]["charges"]}
    result = await sandbox.run_command("costs", "--in", "usd", "--by", "trip", "--json")
    found = result.data["costs"]
    assert found["unconverted"] == []
    assert {money["currency"] for money in found["totals"]} == {"USD"}
    assert {rate["value"] for rate in found["rates"]} == {"0.0026"}
    result = await sandbox.run_command("costs", "--in", "CNY")
    assert "Not converted" in result.out
    assert (await sandbox.run_command("reconcile", "1024gpu")).code == 0


async def test_what_differs_is_explained_and_entered_anew(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        lease = await rent_metered(sandbox, application)
        await application.poller.pause(timedelta(minutes=5))
        await application.releases.release_lease(lease.id)
        await application.bookkeeping.sync_account("mistgpu")
        simulator_state = sandbox.get_simulator_state("mistgpu")
        (server,) = simulator_state.servers.values()
        run = server.runs[-1]

        async def found() -> list[Difference]:
            return [
                item.difference
                for item in await application.reconciliation.compare_provider("mistgpu")
                if not item.is_consistent
            ]

        assert await found() == []
        run.paid += 7
        assert await found() == [Difference.AMOUNT_DIFFERS]
        run.paid -= 7
        server.runs.append(run)
        assert Difference.DUPLICATE in await found()
        server.runs.pop()
        simulator_state.accounts["student"].balance += 1
        assert await found() == [Difference.BALANCE_DIFFERS]
        simulator_state.accounts["student"].balance -= 1
        top_up = simulator_state.create_top_up("student", "5")
        simulator_state.settle_top_up(top_up)
        assert await found() == [Difference.MISSING_IN_LEDGER]
        before = await application.store.ledger.list_transactions()
        assert (
            await application.reconciliation.enter_missing(
                await application.reconciliation.compare_provider("mistgpu")
            )
            == 1
        )
        assert await found() == []
        run.paid += 7
        simulator_state.accounts["student"].balance -= 7
        assert (
            await application.reconciliation.enter_missing(
                await application.reconciliation.compare_provider("mistgpu")
            )
            == 2
        ), "a reversal and a new entry"
        assert await found() == []
        assert list(await application.store.ledger.list_transactions())[: len(before)] == list(before)
        server.runs.remove(run)
        assert Difference.UNKNOWN in await found(), "a provider that does not list it reports nothing"
        server.runs.append(run)
    simulator_state.top_ups.pop(top_up.id)
    result = await sandbox.run_command("reconcile", "--json")
    assert result.code == 5
    data = result.data
    assert not data["consistent"]
    assert [item["difference"] for item in data["findings"] if item["difference"] != "equal"] == [
        "missing-in-statement"
    ]


@pytest.mark.nightly
async def test_a_failing_ledger_stops_no_trip_and_catches_up_later(sandbox: TripSandbox) -> None:
    user = ScriptedUser()
    async with sandbox.open_application(user) as application:
        await application.account_commands.log_in("1024gpu", {})
        await sandbox.add_dbc(application, "90000")
        wallet: Any = application.plugins.billing("1024gpu")
        good = wallet.list_charges

        async def broken(lease: Lease) -> None:
            raise ValueError("a plugin's fault")

        wallet.list_charges = broken
        spec = TripSpec(
            requirements=Requirements(cpu_only=True, gpus=0),
            limits=TripLimits(term=timedelta(days=1)),
            provider="1024gpu",
        )
        lease = await application.trips.rent(spec)
        bookkeeping = application.bookkeeping
        warnings = [event.text for event in user.events if event.kind is EventKind.WARNING]
        assert any("ValueError: a plugin's fault" in text for text in warnings), warnings
        (line,) = await bookkeeping.list_lines(lease=lease.id)
        assert line.last.kind is ChargeKind.HOLD, "the wallet paid, the books are not known"
        (total,) = await bookkeeping.sum_spending(lease=lease.id)
        assert total.held == line.money
        assert [
            item.difference
            for item in await application.reconciliation.compare_provider("1024gpu")
            if item.lease
        ] == [Difference.UNKNOWN]
        wallet.list_charges = good
        assert await bookkeeping.sync_lease(lease.id) == ""
        (total,) = await bookkeeping.sum_spending(lease=lease.id)
        assert total.held == line.money, "a deposit by the books now"
        kinds = {
            found.last.kind for found in await bookkeeping.list_lines(lease=lease.id) if found.money.amount
        }
        assert kinds == {ChargeKind.DEPOSIT}
        await application.releases.release_lease(lease.id)
        (total,) = await bookkeeping.sum_spending(lease=lease.id)
        assert (total.held.amount, total.spent.amount) == (0, 0)


@pytest.mark.nightly
async def test_an_unreachable_provider_is_reported_and_reconciled_later(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        lease = await rent_staged(sandbox, application)
        total = await application.bookkeeping.sum_spending(lease=lease.id)
    sandbox.extra_environment["GPURENT_DBC_URL"] = "http://127.0.0.1:9"
    result = await sandbox.run_command("receipts", lease.id, "--json")
    (found,) = result.data
    assert found["receipt"]["note"]
    assert found["totals"][0]["spent"]["minor"] == total[0].spent.amount
    result = await sandbox.run_command("reconcile")
    assert result.code == 5
    assert "unknown, the statement could not be read" in result.out
    del sandbox.extra_environment["GPURENT_DBC_URL"]
    assert (await sandbox.run_command("reconcile", "--enter")).code == 0


async def test_an_account_without_a_lease_is_compared_too(sandbox: TripSandbox) -> None:
    nothing = await sandbox.run_command("reconcile")
    assert nothing.code == 0
    assert "Nothing could be compared." in nothing.out
    assert "matches" not in nothing.out
    async with sandbox.open_application() as application:
        await application.account_commands.log_in(
            "mistgpu", {"username": "student", "password": "student-pass"}
        )
        await sandbox.top_up_mistgpu(application, "12")
    result = await sandbox.run_command("reconcile", "--json")
    assert result.code == 5
    assert result.data["compared"] == ["mistgpu"]
    assert [(item["difference"], item["kind"]) for item in result.data["findings"]] == [
        ("missing-in-ledger", "top-up")
    ]
    assert "matches" not in (await sandbox.run_command("reconcile")).out
    entered = await sandbox.run_command("reconcile", "--enter")
    assert entered.code == 0
    assert "()" not in entered.out


async def test_what_is_charged_twice_is_found(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        lease = await rent_staged(sandbox, application)
        wallet: Any = application.plugins.billing("1024gpu")
        good = wallet.list_charges

        async def charge_twice(asked: Lease) -> Known[Charge] | Unknown:
            found = await good(asked)
            usage = next(charge for charge in found.items if charge.kind is ChargeKind.USAGE)
            return Known((*found.items, evolve(usage, ref="charged-again")))

        async def list_differences() -> set[Difference]:
            found = await application.reconciliation.compare_provider("1024gpu")
            return {finding.difference for finding in found if finding.lease == lease.id}

        assert Difference.MORE_THAN_BILLED not in await list_differences()
        wallet.list_charges = charge_twice
        assert Difference.MORE_THAN_BILLED in await list_differences()
        # The ledger believes the statement, but the finding stays.
        await application.bookkeeping.sync_lease(lease.id)
        assert Difference.MORE_THAN_BILLED in await list_differences()


async def test_a_release_that_the_provider_does_not_know_of_is_found(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        lease = await rent_metered(sandbox, application)
        running = await application.leases.refresh_lease(lease.id)
        await application.leases.save_lease(running.with_state(LeaseState.RELEASED))
        found = await application.reconciliation.compare_provider("mistgpu")
        assert [item.lease for item in found if item.difference is Difference.STILL_RUNNING] == [lease.id]
        await application.store.save_lease(running)
        await application.releases.release_lease(lease.id)
        found = await application.reconciliation.compare_provider("mistgpu")
        assert Difference.STILL_RUNNING not in {item.difference for item in found}
