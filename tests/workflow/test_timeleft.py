"""One figure for each lease, from real portals; a wallet that is silent hides nothing; warnings are told once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import httpx2
import pytest
from attrs import evolve

from gpurent.composition.application import Application
from gpurent.domain.events import EventKind
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import CNY, HOUR, Currency, Rate, UnitPrice
from gpurent.domain.offer import Hardware, Known, Metered, Offer, Requirements
from gpurent.domain.time_left import TimeKind, TimeLeft, burn_of
from gpurent.domain.trip import TripSpec
from gpurent.errors import UnavailableError, UsageError
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.locale import choose
from gpurent.roles.account import Balance
from gpurent.testing.fakes import ManualClock
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.timing.time_left import TimeAlarms, sentence, words
from tests.workflow.world import Person, World, world

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def land(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, speed=1, machines=5) as made:
        yield made


async def rich(land: World, application: Application, yuan: str = "35") -> None:
    await application.account_commands.login("mistgpu", {"username": "student", "password": "student-pass"})
    await land.settle_alipay(application, yuan)


async def rented(application: Application, gpu: str) -> Lease:
    return await application.trips.rent(TripSpec(requirements=Requirements(gpu=gpu), provider="mistgpu"))


async def test_leases_on_one_balance_share_it_also_those_that_are_not_named(land: World) -> None:
    async with land.application() as application:
        await rich(land, application)
        first = await rented(application, "2080Ti")
        alone = (await application.time_left.read([first]))[first.id]
        assert alone.kind is TimeKind.BALANCE
        assert str(alone.burn) == "3 CNY/h"
        second = await rented(application, "P100")
        named = await application.time_left.read([first])
        both = await application.time_left.read([first, second])
        assert both[first.id] == both[second.id]
        figure = both[first.id]
        assert figure.burn == burn_of([first.offer.tariff.price, second.offer.tariff.price])
        assert str(figure.burn) == "7 CNY/h"
        assert figure.left is not None
        # 35 CNY, less a minute or two of each, at 7 CNY an hour.
        assert 5 * HOUR - 3 * MINUTE < figure.left <= 5 * HOUR
        assert named[first.id].burn == figure.burn
        assert figure.until is not None
        assert figure.until.utcoffset() == timedelta()
        await application.releases.release(second.id)
        after = await application.time_left.read(await application.leases.view_leases(over=True))
        assert after[second.id].kind is TimeKind.KEPT
        kept = after[second.id].left
        assert kept is not None
        assert timedelta(days=15) - MINUTE < kept <= timedelta(days=15)
        assert after[first.id].burn == alone.burn


async def test_what_was_rented_past_us_drains_it_too(land: World) -> None:
    async with land.application() as application:
        await rich(land, application)
        lease = await rented(application, "2080Ti")
        async with httpx2.AsyncClient(base_url=land.cloud.urls["mistgpu"]) as page:
            form = {"username": "student", "password": "student-pass"}
            found = await page.post("/login/", data=form)
            page.cookies.update(found.cookies)
            listed = await application.offer_listing.fitting_offers("mistgpu", Requirements(gpu="V100"))
            assert isinstance(listed, Known)
            free = listed.items[0]
            made = {"machine_id": free.key, "password": "aB3aB3aB3", "image": ""}
            assert (await page.post("/create/", data=made)).status_code < 400
        figure = (await application.time_left.read([lease]))[lease.id]
        assert str(figure.burn) == "8.5 CNY/h"
        assert figure.note == "1 not rented by gpurent"


async def test_unasked_it_goes_by_the_balance_that_was_seen_last(land: World) -> None:
    async with land.application() as application:
        await rich(land, application)
        first = await rented(application, "2080Ti")
        asked = (await application.time_left.read([first]))[first.id]
        unasked = application.last_seen.figures([first])[first.id]
        assert asked.until is not None
        assert unasked.until is not None
        assert (unasked.kind, unasked.burn) == (TimeKind.BALANCE, asked.burn)
        assert abs(unasked.until - asked.until) < MINUTE
        assert "by the balance of" in unasked.note
        second = await rented(application, "P100")
        both = application.last_seen.figures([second])[second.id]
        assert both.until is not None
        assert both.until < unasked.until, "what was rented since drains it too"
    said = await land.cli("ls")
    assert "unknown" not in said.out
    assert "--refresh asks the providers" in said.out


async def test_a_silent_wallet_is_unknown_and_the_rest_is_shown(
    land: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with land.application() as application:
        await rich(land, application)
        lease = await rented(application, "2080Ti")
        kept = evolve(lease, id="kept", state=LeaseState.KEPT, kept_until=application.clock.now() + HOUR)
        stranger = evolve(lease, id="other", provider="nobody")
        asked: list[int] = []

        async def silent() -> Balance:
            asked.append(1)
            raise UnavailableError("the site does not answer")

        monkeypatch.setattr(application.plugins.billing("mistgpu"), "balance", silent)
        found = await application.time_left.read([lease, kept, stranger, evolve(lease, id="again")])
        assert found[lease.id].kind is found["again"].kind is TimeKind.UNKNOWN
        assert found[lease.id].note == "the site does not answer"
        assert found["kept"].kind is TimeKind.KEPT
        assert found["other"].kind is TimeKind.UNKNOWN
        assert "nobody" in found["other"].note
        assert asked == [1], "each wallet is asked once"
        assert application.last_seen.figures([lease])[lease.id].note == "nobody was asked"


async def test_a_wallet_that_hangs_is_left_behind(land: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with land.application() as application:
        await rich(land, application)
        lease = await rented(application, "2080Ti")
        monkeypatch.setattr("gpurent.workflow.timing.time_reader.PATIENCE", 0.2)
        monkeypatch.setattr(application.plugins.billing("mistgpu"), "balance", lambda: asyncio.sleep(60))
        found = (await application.time_left.read([lease]))[lease.id]
        assert found.kind is TimeKind.UNKNOWN
        assert found.note == "no answer within 0.2 s"


async def test_a_balance_in_another_currency_goes_by_its_dated_rate(
    land: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    coin = Currency("DBC", 8)
    async with land.application() as application:
        await rich(land, application)
        lease = await rented(application, "2080Ti")
        wallet, now = application.plugins.billing("mistgpu"), application.clock.now()
        dated = [now]

        async def balance() -> Balance:
            return Balance(available=coin.money("1000"), at=now)

        async def rate(quote: Currency) -> Rate:
            return Rate(coin, quote, Decimal("0.015"), dated[0], "the exchange")

        monkeypatch.setattr(wallet, "balance", balance)
        monkeypatch.setattr(wallet, "rate", rate)
        figure = (await application.time_left.read([lease]))[lease.id]
        # 15 CNY at 3 CNY an hour.
        assert figure.until == now + 5 * HOUR
        assert figure.note == "by the rate of the exchange"
        dated[0] = now - timedelta(days=2)
        stale = (await application.time_left.read([lease]))[lease.id]
        assert stale.kind is TimeKind.UNKNOWN
        assert "the exchange" in stale.note


async def test_the_listings(land: World) -> None:
    async with land.application() as application:
        await rich(land, application, "3")
        lease = (await rented(application, "2080Ti")).id
    for command in (("ls", "--refresh", "--json"), ("show", lease, "--json")):
        data = (await land.cli(*command)).data
        found = (data[0] if command[0] == "ls" else data)["time_left"]
        assert found["kind"] == "balance"
        assert 50 * 60 < found["left"] <= 3600
        assert datetime.fromisoformat(found["until"]).tzinfo == UTC
        assert found["words"].endswith("s")
        assert found["low"] is True
    assert " min " in (await land.cli("show", lease)).out
    unasked = (await land.cli("ls", "--json")).data[0]["time_left"]
    assert unasked["kind"] == "balance"
    assert "by the balance of" in unasked["note"]
    land.extra["GPURENT_WARN_AT"] = "1h, 90x"
    said = await land.cli("ls")
    assert said.code == 2
    assert "[warn] at" in said.err


NOW = datetime(2020, 6, 1, 12, tzinfo=UTC)


def prepaid(left: timedelta) -> TimeLeft:
    return TimeLeft(kind=TimeKind.PREPAID, until=NOW + left, left=left)


@contextmanager
def watcher(folder: Path, person: Person) -> Iterator[TimeAlarms]:
    """The alarms of one process; several share the folder's Store."""
    clock = ManualClock()
    events = EventEmitter(clock)
    events.subscribe(person.show_event)
    with closing(SqliteStore(folder / "journal.sqlite", clock.now)) as store:
        yield TimeAlarms(store, Settings(folder, {}, {}), events)


def test_each_threshold_tells_once_until_the_time_rises_above_it(tmp_path: Path) -> None:
    ours, other = Person(), Person()
    tariff = Metered(price=UnitPrice(Decimal(3), CNY))
    offer = Offer(key="1", provider="mistgpu", hardware=Hardware(gpu="2080Ti", gpus=1), tariff=tariff)
    lease = Lease(id="mistgpu-a", provider="mistgpu", offer=offer, state=LeaseState.READY)
    with watcher(tmp_path, ours) as trip, watcher(tmp_path, other) as guard:
        told = []
        for minutes, trip_first in (
            (70, 1),
            (59, 1),
            (58, 0),
            (16, 0),
            (14, 0),
            (14, 1),
            (20, 1),
            (14, 0),
            (4, 1),
        ):
            pair = (trip, guard) if trip_first else (guard, trip)
            limits = [one.check(lease, prepaid(minutes * MINUTE)) for one in pair]
            told.append([limit and limit // MINUTE for limit in limits])
        nothing = [None, None]
        assert told == [
            nothing, [60, None], nothing, nothing, [15, None], nothing, nothing, [15, None], [5, None]
        ]  # fmt: skip
        assert trip.check(lease, TimeLeft(kind=TimeKind.UNKNOWN)) is None
        assert trip.check(lease, prepaid(2 * HOUR)) is None
        assert trip.check(lease, prepaid(MINUTE)) == 5 * MINUTE, "passed at once: told once"
    events = [
        event for person in (ours, other) for event in person.events if event.kind is EventKind.TIME_LOW
    ]
    assert len(events) == 5
    assert {event.data["threshold"] for event in events} == {3600, 900, 300}
    event = next(event for event in ours.events if event.kind is EventKind.TIME_LOW)
    assert event.data["seconds"] == 59 * 60
    assert event.data["decided_by"] == "prepaid"
    assert event.data["until"] == (NOW + 59 * MINUTE).isoformat()
    assert event.lease == lease.id


async def test_thresholds_from_the_settings(land: World) -> None:
    state = land.home / "state"
    state.mkdir(mode=0o700, parents=True)
    (state / "config.toml").write_text('[warn]\nat = "1天, 2h"\n[warn.mistgpu]\nat = "30m"\n')
    async with land.application() as application:
        assert application.alarms.thresholds("mistgpu") == (30 * MINUTE,)
        assert application.alarms.thresholds("1024gpu") == (timedelta(days=1), 2 * HOUR)
    (state / "config.toml").write_text('[warn]\nat = "none"\n')
    async with land.application() as application:
        assert application.alarms.thresholds("mistgpu") == ()
    (state / "config.toml").write_text('[warn]\nat = "soon"\n')
    with pytest.raises(UsageError, match="soon"):
        async with land.application():
            pass
    (state / "config.toml").unlink()
    land.extra["GPURENT_WARN_AT"] = "soon"
    async with land.application() as application:
        with pytest.raises(UsageError, match="soon"):
            application.alarms.thresholds("mistgpu")


def test_words_in_the_users_language() -> None:
    figure = prepaid(timedelta(hours=2, minutes=5))
    try:
        choose("en")
        assert words(figure) == "2 h 5 min"
        assert sentence(figure) == "time left: 2 h 5 min, until 2020-06-01 14:05 UTC"
        choose("zh_CN")
        assert words(figure) == "2 小时 5 分"
    finally:
        choose("")
