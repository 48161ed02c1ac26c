"""One figure for each lease, from real simulators; a wallet that does not answer hides nothing; one warning each."""

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
from gpurent.domain.evidence import Known
from gpurent.domain.lease import Lease, LeaseState
from gpurent.domain.money import CNY, HOUR, Currency, Rate, UnitPrice
from gpurent.domain.offer import Hardware, Metered, Offer, Requirements
from gpurent.domain.time_left import TimeKind, TimeLeft, sum_prices
from gpurent.domain.trip import TripSpec
from gpurent.errors import UnavailableError, UsageError
from gpurent.infra.sqlite.store import SqliteStore
from gpurent.locale import set_language
from gpurent.roles.account import Balance
from gpurent.testing.fakes import ManualClock
from gpurent.workflow.runtime.events import EventEmitter
from gpurent.workflow.runtime.settings import Settings
from gpurent.workflow.timing.time_left import TimeWarnings, describe_time_left, format_time_left
from tests.workflow.trip_sandbox import ScriptedUser, TripSandbox, trip_sandbox

MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[TripSandbox]:
    async with trip_sandbox(tmp_path, speed=1, machines=5) as made:
        yield made


async def log_in_with_money(sandbox: TripSandbox, application: Application, yuan: str = "35") -> None:
    await application.account_commands.log_in("mistgpu", {"username": "student", "password": "student-pass"})
    await sandbox.top_up_mistgpu(application, yuan)


async def rent_machine(application: Application, gpu: str) -> Lease:
    return await application.trips.rent(TripSpec(requirements=Requirements(gpu=gpu), provider="mistgpu"))


async def test_leases_on_one_balance_share_it_also_those_that_are_not_named(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        first = await rent_machine(application, "2080Ti")
        alone = (await application.time_left.get_time_left([first]))[first.id]
        assert alone.kind is TimeKind.BALANCE
        assert str(alone.burn_rate) == "3 CNY/h"
        second = await rent_machine(application, "P100")
        named = await application.time_left.get_time_left([first])
        both = await application.time_left.get_time_left([first, second])
        assert both[first.id] == both[second.id]
        time_left = both[first.id]
        assert time_left.burn_rate == sum_prices([first.offer.tariff.price, second.offer.tariff.price])
        assert str(time_left.burn_rate) == "7 CNY/h"
        assert time_left.left is not None
        # 35 CNY minus a minute or two each, at 7 CNY an hour.
        assert 5 * HOUR - 3 * MINUTE < time_left.left <= 5 * HOUR
        assert named[first.id].burn_rate == time_left.burn_rate
        assert time_left.until is not None
        assert time_left.until.utcoffset() == timedelta()
        await application.releases.release_lease(second.id)
        after = await application.time_left.get_time_left(
            await application.leases.list_refreshed_leases(include_over=True)
        )
        assert after[second.id].kind is TimeKind.KEPT
        kept = after[second.id].left
        assert kept is not None
        assert timedelta(days=15) - MINUTE < kept <= timedelta(days=15)
        assert after[first.id].burn_rate == alone.burn_rate


async def test_leases_rented_elsewhere_count_too(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        lease = await rent_machine(application, "2080Ti")
        async with httpx2.AsyncClient(base_url=sandbox.cloud.urls["mistgpu"]) as page:
            form = {"username": "student", "password": "student-pass"}
            found = await page.post("/login/", data=form)
            page.cookies.update(found.cookies)
            listed = await application.offer_listing.list_fitting_offers("mistgpu", Requirements(gpu="V100"))
            assert isinstance(listed, Known)
            free = listed.items[0]
            made = {"machine_id": free.key, "password": "aB3aB3aB3", "image": ""}
            assert (await page.post("/create/", data=made)).status_code < 400
        time_left = (await application.time_left.get_time_left([lease]))[lease.id]
        assert str(time_left.burn_rate) == "8.5 CNY/h"
        assert time_left.note == "including 1 not rented by gpurent"


async def test_without_refresh_the_last_seen_balance_is_used(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        first = await rent_machine(application, "2080Ti")
        refreshed = (await application.time_left.get_time_left([first]))[first.id]
        last_seen = (await application.last_seen.get_last_seen([first]))[first.id]
        assert refreshed.until is not None
        assert last_seen.until is not None
        assert (last_seen.kind, last_seen.burn_rate) == (TimeKind.BALANCE, refreshed.burn_rate)
        assert abs(last_seen.until - refreshed.until) < MINUTE
        assert "based on the balance at" in last_seen.note
        saved = await application.store.find_last_balance("mistgpu", "student")
        assert saved is not None, "kept for the account that is logged in"
        assert (saved.account, saved.money.currency) == ("student", CNY)
        second = await rent_machine(application, "P100")
        both = (await application.last_seen.get_last_seen([second]))[second.id]
        assert both.until is not None
        assert both.until < last_seen.until, "what was rented since drains it too"
    result = await sandbox.run_command("ls")
    assert "unknown" not in result.out
    assert "use --refresh to ask the providers" in result.out


async def test_a_silent_wallet_is_unknown_and_the_rest_is_shown(
    sandbox: TripSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        lease = await rent_machine(application, "2080Ti")
        kept = evolve(lease, id="kept", state=LeaseState.KEPT, kept_until=application.clock.now() + HOUR)
        stranger = evolve(lease, id="other", provider="nobody")
        asked: list[int] = []

        async def silent() -> Balance:
            asked.append(1)
            raise UnavailableError("the site does not answer")

        monkeypatch.setattr(application.plugins.billing("mistgpu"), "get_balance", silent)
        found = await application.time_left.get_time_left([lease, kept, stranger, evolve(lease, id="again")])
        assert found[lease.id].kind is found["again"].kind is TimeKind.UNKNOWN
        assert found[lease.id].note == "the site does not answer"
        assert found["kept"].kind is TimeKind.KEPT
        assert found["other"].kind is TimeKind.UNKNOWN
        assert "nobody" in found["other"].note
        assert asked == [1], "each wallet is asked once"
        assert (await application.last_seen.get_last_seen([lease]))[lease.id].note == "no balance on record"


async def test_hanging_wallet_is_not_awaited(sandbox: TripSandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        lease = await rent_machine(application, "2080Ti")
        monkeypatch.setattr("gpurent.workflow.timing.time_reader.ACCOUNT_TIMEOUT", 0.2)
        monkeypatch.setattr(application.plugins.billing("mistgpu"), "get_balance", lambda: asyncio.sleep(60))
        found = (await application.time_left.get_time_left([lease]))[lease.id]
        assert found.kind is TimeKind.UNKNOWN
        assert found.note == "no answer within 0.2 s"


async def test_a_balance_in_another_currency_goes_by_its_dated_rate(
    sandbox: TripSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    currency = Currency("DBC", 8)
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application)
        lease = await rent_machine(application, "2080Ti")
        wallet, now = application.plugins.billing("mistgpu"), application.clock.now()
        dated = [now]

        async def balance() -> Balance:
            return Balance(available=currency.money("1000"), at=now)

        async def rate(quote: Currency) -> Rate:
            return Rate(currency, quote, Decimal("0.015"), dated[0], "the exchange")

        monkeypatch.setattr(wallet, "get_balance", balance)
        monkeypatch.setattr(wallet, "get_rate", rate)
        time_left = (await application.time_left.get_time_left([lease]))[lease.id]
        # 15 CNY at 3 CNY an hour.
        assert time_left.until == now + 5 * HOUR
        assert time_left.note == "at the exchange rate of the exchange"
        dated[0] = now - timedelta(days=2)
        stale = (await application.time_left.get_time_left([lease]))[lease.id]
        assert stale.kind is TimeKind.UNKNOWN
        assert "the exchange" in stale.note


@pytest.mark.nightly
async def test_the_listings(sandbox: TripSandbox) -> None:
    async with sandbox.open_application() as application:
        await log_in_with_money(sandbox, application, "3")
        lease = (await rent_machine(application, "2080Ti")).id
    for command in (("ls", "--refresh", "--json"), ("show", lease, "--json")):
        data = (await sandbox.run_command(*command)).data
        found = (data[0] if command[0] == "ls" else data)["time_left"]
        assert found["kind"] == "balance"
        assert 50 * 60 < found["left"] <= 3600
        assert datetime.fromisoformat(found["until"]).tzinfo == UTC
        assert found["text"].endswith("s")
        assert found["low"] is True
    assert " min " in (await sandbox.run_command("show", lease)).out
    unrefreshed = (await sandbox.run_command("ls", "--json")).data[0]["time_left"]
    assert unrefreshed["kind"] == "balance"
    assert "based on the balance at" in unrefreshed["note"]
    sandbox.extra_environment["GPURENT_WARN_AT"] = "1h, 90x"
    result = await sandbox.run_command("ls")
    assert result.code == 2
    assert "[warn] at" in result.err


NOW = datetime(2020, 6, 1, 12, tzinfo=UTC)


def make_time_left(left: timedelta) -> TimeLeft:
    return TimeLeft(kind=TimeKind.PREPAID, until=NOW + left, left=left)


@contextmanager
def open_alarms(folder: Path, user: ScriptedUser) -> Iterator[TimeWarnings]:
    """Open the alarms of one process; several share the store in the folder."""
    clock = ManualClock()
    events = EventEmitter(clock)
    events.subscribe(user.show_event)
    with closing(SqliteStore(folder / "journal.sqlite", clock.now)) as store:
        yield TimeWarnings(store, Settings(folder, {}, {}), events)


async def test_each_threshold_is_reported_once_until_the_time_rises_above_it(tmp_path: Path) -> None:
    ours, other = ScriptedUser(), ScriptedUser()
    tariff = Metered(price=UnitPrice(Decimal(3), CNY))
    offer = Offer(key="1", provider="mistgpu", hardware=Hardware(gpu="2080Ti", gpus=1), tariff=tariff)
    lease = Lease(id="mistgpu-a", provider="mistgpu", offer=offer, state=LeaseState.READY)
    with open_alarms(tmp_path, ours) as trip, open_alarms(tmp_path, other) as guard:
        messages = []
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
            limits = [await one.warn_if_low(lease, make_time_left(minutes * MINUTE)) for one in pair]
            messages.append([limit and limit // MINUTE for limit in limits])
        nothing = [None, None]
        assert messages == [
            nothing, [60, None], nothing, nothing, [15, None], nothing, nothing, [15, None], [5, None]
        ]  # fmt: skip
        assert await trip.warn_if_low(lease, TimeLeft(kind=TimeKind.UNKNOWN)) is None
        assert await trip.warn_if_low(lease, make_time_left(2 * HOUR)) is None
        assert await trip.warn_if_low(lease, make_time_left(MINUTE)) == 5 * MINUTE, (
            "passed at once: told once"
        )
    events = [event for user in (ours, other) for event in user.events if event.kind is EventKind.TIME_LOW]
    assert len(events) == 5
    assert {event.data["threshold"] for event in events} == {3600, 900, 300}
    event = next(event for event in ours.events if event.kind is EventKind.TIME_LOW)
    assert event.data["seconds"] == 59 * 60
    assert event.data["decided_by"] == "prepaid"
    assert event.data["until"] == (NOW + 59 * MINUTE).isoformat()
    assert event.lease == lease.id


async def test_thresholds_from_the_settings(sandbox: TripSandbox) -> None:
    state = sandbox.home / "state"
    state.mkdir(mode=0o700, parents=True)
    (state / "config.toml").write_text('[warn]\nat = "1天, 2h"\n[warn.mistgpu]\nat = "30m"\n')
    async with sandbox.open_application() as application:
        assert application.time_warnings.get_thresholds("mistgpu") == (30 * MINUTE,)
        assert application.time_warnings.get_thresholds("1024gpu") == (timedelta(days=1), 2 * HOUR)
    (state / "config.toml").write_text('[warn]\nat = "none"\n')
    async with sandbox.open_application() as application:
        assert application.time_warnings.get_thresholds("mistgpu") == ()
    (state / "config.toml").write_text('[warn]\nat = "soon"\n')
    with pytest.raises(UsageError, match="soon"):
        async with sandbox.open_application():
            pass
    (state / "config.toml").unlink()
    sandbox.extra_environment["GPURENT_WARN_AT"] = "soon"
    async with sandbox.open_application() as application:
        with pytest.raises(UsageError, match="soon"):
            application.time_warnings.get_thresholds("mistgpu")


def test_words_in_the_users_language() -> None:
    time_left = make_time_left(timedelta(hours=2, minutes=5))
    try:
        set_language("en")
        assert format_time_left(time_left) == "2 h 5 min"
        assert describe_time_left(time_left) == "time left: 2 h 5 min, until 2020-06-01 14:05 UTC"
        set_language("zh_CN")
        assert format_time_left(time_left) == "2 小时 5 分钟"
    finally:
        set_language("")
