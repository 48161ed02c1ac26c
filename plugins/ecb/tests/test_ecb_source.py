"""The source against its simulator over HTTP: weekends, one download per publication, what fails is said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from gpurent.api import Rate, RateEntry, UnavailableError, UnexpectedResponse
from gpurent.testing.fakes import FakePluginContext, HttpFaults, ManualClock
from gpurent.testing.sandbox_harness import SandboxUser, sandbox_harness
from gpurent_plugin_ecb import plugin, wire
from gpurent_plugin_ecb.simulator.service import find_published_day
from gpurent_plugin_ecb.source import STATE, EcbRateSource, is_still_newest

(ENTRY,) = plugin.gpurent_register_rate()
FRIDAY = datetime(2026, 11, 27, 17, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


async def list_rates(
    user: SandboxUser, faults: HttpFaults | None = None, entry: RateEntry = ENTRY
) -> Sequence[Rate]:
    """Return the rates as a new process gets them."""
    return await EcbRateSource(FakePluginContext(entry, user=user, faults=faults)).list_rates()


async def test_on_sunday_the_date_is_that_of_friday() -> None:
    settings = {"ecb.usd": "1.0859", "ecb.cny": "7.8512"}
    async with sandbox_harness(
        "ecb", clock=ManualClock(FRIDAY + 2 * DAY, eager=True), settings=settings
    ) as sandbox:
        (rate,) = await list_rates(sandbox.user())
    assert rate.value == Decimal("7.230132")
    assert rate.at == datetime(2026, 11, 27, 14, tzinfo=UTC)


async def test_there_is_one_download_until_the_next_publication() -> None:
    async with sandbox_harness("ecb", clock=ManualClock(FRIDAY, eager=True)) as sandbox:
        user, faults = sandbox.user(), HttpFaults()
        seen = []
        for _step in range(12):
            (rate,) = await list_rates(user, faults)
            seen.append((sandbox.clock.now().strftime("%a %H"), rate.at.strftime("%a"), faults.calls))
            sandbox.clock.advance(8 * HOUR)
    assert seen == [
        ("Fri 17", "Fri", 1), ("Sat 01", "Fri", 1), ("Sat 09", "Fri", 1), ("Sat 17", "Fri", 2),
        ("Sun 01", "Fri", 2), ("Sun 09", "Fri", 2), ("Sun 17", "Fri", 3), ("Mon 01", "Fri", 3),
        ("Mon 09", "Fri", 3), ("Mon 17", "Mon", 4), ("Tue 01", "Mon", 4), ("Tue 09", "Mon", 4),
    ]  # fmt: skip


def make_record(**changes: object) -> str:
    record = {
        "url": "URL",
        "asked_at": "2026-11-27T16:00:00+00:00",
        "day": "2026-11-27",
        "USD": "1",
        "CNY": "7",
    }
    return json.dumps({**record, **changes})


async def test_what_was_kept_is_used() -> None:
    async with sandbox_harness("ecb", clock=ManualClock(FRIDAY, eager=True)) as sandbox:
        user, faults = sandbox.user(), HttpFaults()
        await user.state("ecb").put(STATE, make_record().replace("URL", sandbox.simulators.urls["ecb"]))
        (rate,) = await list_rates(user, faults)
    assert rate.value == 7
    assert faults.calls == 0


DAMAGED = ("", "{", "[]", "null", '{"url": 7}')
CHANGED = (
    make_record(asked_at="soon"),
    make_record(asked_at="2026-11-27T16:00:00"),
    make_record(asked_at="2026-11-27T15:00:00+00:00"),
    make_record(day=7),
    make_record(day="2026-11-28"),
    make_record(USD=1, CNY=7),
    make_record(url="https://other.example"),
)


@pytest.mark.parametrize("kept", [*DAMAGED, *CHANGED])
async def test_what_was_kept_is_checked_and_replaced(kept: str) -> None:
    async with sandbox_harness("ecb", clock=ManualClock(FRIDAY, eager=True)) as sandbox:
        user, faults = sandbox.user(), HttpFaults()
        await user.state("ecb").put(STATE, kept.replace("URL", sandbox.simulators.urls["ecb"]))
        (rate,) = await list_rates(user, faults)
        assert rate.value != 7
        assert faults.calls == 1
        record = json.loads(await user.state("ecb").get(STATE) or "")
        assert record["day"] == "2026-11-27"


async def test_failures_are_named_and_nothing_is_kept() -> None:
    clock = ManualClock(FRIDAY, eager=True)
    async with sandbox_harness("ecb", clock=clock, settings={"ecb.api": "off"}) as sandbox:
        user = sandbox.user()
        with pytest.raises(UnavailableError, match="the European Central Bank reported a server error"):
            await list_rates(user)
        with pytest.raises(UnavailableError):
            await list_rates(user, HttpFaults(lose_request=1))
        assert await user.state("ecb").get(STATE) is None
    async with sandbox_harness("ecb", clock=clock, settings={"ecb.usd": "0"}) as sandbox:
        with pytest.raises(UnexpectedResponse, match="rate of USD is not a positive number"):
            await list_rates(sandbox.user())
    async with sandbox_harness("ecb", clock=clock) as sandbox:
        moved = sandbox.user({"ecb": {"url": sandbox.simulators.urls["ecb"] + "/moved"}})
        with pytest.raises(UnexpectedResponse, match="returned HTTP 404"):
            await list_rates(moved)


def test_the_simulator_publishes_on_working_days_in_the_afternoon() -> None:
    found = {
        f"{at:%a %H}": find_published_day(at)
        for at in (FRIDAY - 4 * HOUR, FRIDAY, FRIDAY + DAY, FRIDAY + 3 * DAY - 4 * HOUR, FRIDAY + 3 * DAY)
    }
    assert found == {
        "Fri 13": date(2026, 11, 26),
        "Fri 17": date(2026, 11, 27),
        "Sat 17": date(2026, 11, 27),
        "Mon 13": date(2026, 11, 27),
        "Mon 17": date(2026, 11, 30),
    }


def test_values_are_asked_for_again_when_newer_ones_are_due() -> None:
    due = datetime(2026, 11, 27, 15, 30, tzinfo=UTC)
    assert is_still_newest(due - HOUR, due - timedelta(seconds=1))
    assert not is_still_newest(due - HOUR, due)
    assert is_still_newest(due, due + DAY - timedelta(seconds=1))
    assert not is_still_newest(due, due + DAY)
    assert not is_still_newest(due + HOUR, due), "the clock was set back"


def test_the_empty_url_switches_it_off() -> None:
    (setting,) = ENTRY.settings
    assert not setting.optional, "without a value the source is not in use"
    assert ENTRY.max_age > timedelta(days=5, hours=2), "from Thursday to the Tuesday after Easter"
    assert wire.PATH.startswith("/")
