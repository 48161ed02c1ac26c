"""Core's own walk over the sandbox's chain: real machines, a real job, one receipt."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest

from gpurent.domain.lease import LeaseState
from gpurent.domain.offer import Requirements
from gpurent.domain.receipt import ChargeKind
from gpurent.domain.trip import TripSpec
from gpurent.errors import MoneyError
from gpurent.workflow.trips.operations import Service
from tests.workflow.world import DIGITS, Person, World, world

NAME = "dbc-chain"
JOB = ("train.py", "--epochs", "2", "--hidden", "8")
HOUR = timedelta(hours=1)


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=60, machines=4) as made:
        yield made


async def funded(land: World, service: Service, amount: str = "2000") -> str:
    account = (await service.login(NAME, {})).account
    async with httpx2.AsyncClient(base_url=land.cloud.urls[NAME]) as client:
        answer = await client.post("/sandbox/faucet", json={"address": account, "amount": amount})
    assert answer.status_code == 200
    return account


def want(tmp_path: Path, gpu: str, **more: object) -> TripSpec:
    home = tmp_path / "home"
    home.mkdir()
    given = {
        "provider": NAME,
        "wish": Requirements(gpu=gpu),
        "term": HOUR,
        "command": JOB,
        "folder": str(DIGITS),
        "results": ("out",),
        "home": str(home),
        **more,
    }
    return TripSpec(**given)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize(("gpu", "refunds"), [("RTX3090", False), ("RTX2080Ti", True)])
async def test_a_trip_from_key_to_receipt(land: World, tmp_path: Path, gpu: str, refunds: bool) -> None:
    person = Person()
    async with land.desk(person) as service:
        account = await funded(land, service)
        before = await service.balance(NAME)
        end = await service.run(want(tmp_path, gpu))
        assert end.exit_code == 0
        assert json.loads((tmp_path / "home" / "out" / "metrics.json").read_text())["planned_epochs"] == 2
        lease = service.desk.lease(end.lease)
        assert lease.state is LeaseState.RELEASED
        assert end.receipt is not None
        (total,) = end.receipt.totals()
        after = await service.balance(NAME)
        assert after.held is not None
        assert after.held.amount == 0
        assert before.available - after.available == total.spent
        chain = [line for line in land.cloud.ledgers()[NAME] if line.account == account]
        assert sum(line.amount.amount for line in chain) == after.available.amount
        kinds = {charge.kind for charge in end.receipt.charges}
        assert kinds == {ChargeKind.USE, ChargeKind.FEE} | ({ChargeKind.REFUND} if refunds else set())
        assert service.desk.books.spending(lease=end.lease) == end.receipt.totals()
    assert land.cloud.burning() == []
    assert list(land.cloud.driver.machines()) == []


async def test_a_rent_and_a_renewal_within_what_was_quoted(land: World, tmp_path: Path) -> None:
    """The fee of a new order is in the quote: nobody is asked again."""
    async with land.desk(Person()) as service:
        await funded(land, service)
        lease = await service.rent(want(tmp_path, "RTX3090", command=(), results=()))
        assert lease.state is LeaseState.READY
        renewed = await service.renew(lease.id, timedelta(minutes=30))
        assert renewed.expires_at is not None
        assert lease.expires_at is not None
        assert timedelta(minutes=29) < renewed.expires_at - lease.expires_at < timedelta(minutes=31)
        receipt = await service.release(lease.id)
        assert [c.kind for c in receipt.charges].count(ChargeKind.RENEWAL) == 1


async def test_too_little_is_refused_before_anything_is_signed(land: World, tmp_path: Path) -> None:
    async with land.desk(Person()) as service:
        await funded(land, service, "110")
        with pytest.raises(MoneyError, match="does not cover"):
            await service.run(want(tmp_path, "RTX3090"))
    assert len(land.cloud.ledgers()[NAME]) == 1


async def test_the_command_line_shows_provider_wallet_and_evidence(land: World) -> None:
    said = await land.cli("providers", "--json")
    row = next(item for item in said.data if item["name"] == NAME)
    assert row["auth"] == row["billing"] == NAME
    assert "Never run against the live chain" in row["live"]
    assert NAME in (await land.cli("providers")).out
    login = await land.cli("login", NAME, "--json")
    assert login.data["account"].startswith("5")
    words = (await land.cli("whoami", "--show-key", NAME, "--json")).data["credentials"]["secret"]
    assert len(words.split()) == 12
    assert words not in login.out + login.err
    (listed,) = (await land.cli("offers", "-p", NAME, "--json")).data
    assert {offer["tariff"]["refundable"] for offer in listed["offers"]} == {True, False}
    assert all("10 DBC" in offer["note"] for offer in listed["offers"])
    routes = land.cloud.status()["routes"][NAME]
    assert {route["evidence"] for route in routes} == {"source", "documented", "assumed"}
    assert [r["path"] for r in routes if r["evidence"] == "assumed"] == ["/sandbox/faucet", "/sandbox/price"]
    (methods,) = [r["note"] for r in routes if r["path"] == "/"]
    assert "source: onlineProfile_getMachineList" in methods
    assert "documented: chain_getHeader" in methods
