"""The clock of each service, as its responses show it, beside a clock of ours that may be wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from gpurent.infra.http_headers import parse_date
from gpurent.infra.service_clocks import ServiceClocks
from gpurent.roles.request_times import begin_request
from gpurent.testing.fakes.clock import ManualClock

NOW = datetime(2026, 11, 24, 12, 0, 0, 400_000, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def make_clocks() -> tuple[ServiceClocks, ManualClock, list[str]]:
    warnings: list[str] = []
    own = ManualClock(NOW, wall=lambda: own.now())  # noqa: PLW0108 - it is not made yet
    return ServiceClocks(own, warnings.append), own, warnings


def answer(clocks: ServiceClocks, own: ManualClock, ahead: timedelta, took: timedelta = SECOND / 10) -> None:
    """Let the service answer a request, whose clock is ``ahead`` of ours, after ``took``."""
    finish = clocks.time_request("shop")
    own.advance(took / 2)
    date = (own.now() + ahead).replace(microsecond=0)
    own.advance(took / 2)
    finish({"date": format_datetime(date, usegmt=True)})


def test_clocks_that_agree_are_left_alone() -> None:
    clocks, own, warnings = make_clocks()
    for _try in range(30):
        answer(clocks, own, timedelta(), SECOND * 0.37)
    assert clocks.get_offset("shop") == timedelta()
    assert clocks.clock_of("shop").now() == own.now()
    assert warnings == []


@pytest.mark.parametrize("ahead", [timedelta(minutes=12), -timedelta(hours=7), timedelta(seconds=20)])
def test_the_services_time_is_used_and_a_large_difference_told_once(ahead: timedelta) -> None:
    clocks, own, warnings = make_clocks()
    for _try in range(5):
        answer(clocks, own, ahead)
        assert abs(clocks.clock_of("shop").now() - own.now() - ahead) <= SECOND * 1.1
    assert len(warnings) == (abs(ahead) > timedelta(minutes=1))
    assert clocks.clock_of("another").now() == own.now()
    clock = clocks.clock_of("shop")
    assert abs(clock.to_wall_time(clock.from_wall_time(NOW)) - NOW) < SECOND


def test_a_clock_of_ours_that_is_set_right_is_followed() -> None:
    clocks, own, _warnings = make_clocks()
    answer(clocks, own, timedelta(hours=1))
    own.advance(timedelta(hours=1))
    answer(clocks, own, timedelta())
    assert abs(clocks.get_offset("shop")) <= SECOND


def test_a_slow_answer_says_little() -> None:
    clocks, own, _warnings = make_clocks()
    answer(clocks, own, timedelta(seconds=40), took=timedelta(minutes=2))
    assert clocks.get_offset("shop") == timedelta()


@pytest.mark.parametrize("text", ["", "yesterday", "Tue, 99 Nov 2026 12:00:00 GMT", "0"])
def test_what_is_no_date_says_nothing(text: str) -> None:
    assert parse_date({"date": text}) is None
    assert parse_date({}) is None


def test_an_answer_from_a_cache_is_as_old_as_it_says() -> None:
    date = format_datetime(NOW.replace(microsecond=0), usegmt=True)
    assert parse_date({"date": date, "age": "600"}) == NOW.replace(microsecond=0) + timedelta(minutes=10)
    assert parse_date({"date": date, "age": "old"}) is None


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(days=15), -timedelta(days=15)])
def test_when_a_request_was_sent_is_told_in_the_services_time_also_for_the_first(ahead: timedelta) -> None:
    clocks, own, _warnings = make_clocks()
    find_time = begin_request(clocks.clock_of("shop"))
    answer(clocks, own, ahead, SECOND * 5)
    assert SECOND * 2.4 <= own.now() + ahead - find_time() <= SECOND * 9
