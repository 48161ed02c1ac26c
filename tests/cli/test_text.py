"""Text that users type and read: durations, money, tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from gpurent.cli.json_output import result_json, to_json_value
from gpurent.cli.views.table import display_width, format_table
from gpurent.domain.field_values import parse_time
from gpurent.domain.money import CNY
from gpurent.domain.money_text import make_money, parse_amount
from gpurent.domain.secret import Secret
from gpurent.locale.durations import parse_duration, parse_durations
from gpurent.terminal_text import strip_to_line


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("1d", 24),
        ("2h30m", 2.5),
        ("90m", 1.5),
        ("1天", 24),
        ("36小时", 36),
        ("1天2小时", 26),
        ("1 d 12 h", 36),
        ("1w", 168),
    ],
)
def test_durations(text: str, hours: float) -> None:
    assert parse_duration(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "d", "1", "-1d", "1y", "0h", "1d and more", "999999w", "１d x"])
def test_invalid_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"a (valid )?duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "value", "code"),
    [
        ("200000DBC", "200000", "DBC"),
        ("100CNY", "100", "CNY"),
        ("¥100", "100", "CNY"),
        ("100元", "100", "CNY"),
        ("3.5 cny", "3.5", "CNY"),
        ("100", "100", ""),
    ],
)
def test_money(text: str, value: str, code: str) -> None:
    assert parse_amount(text) == (Decimal(value), code)


@pytest.mark.parametrize("text", ["", "CNY", "-1CNY", "1e9CNY", "¥1CNY", "nanCNY", "1,000CNY"])
def test_invalid_money(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid amount of money"):
        parse_amount(text)


def test_budget_money_is_exact() -> None:
    assert make_money((Decimal("3.5"), "CNY")) == CNY.money("3.50")
    assert make_money((Decimal("0.12345678"), "DBC")).decimal == Decimal("0.12345678")


@given(st.text(max_size=40))
def test_typed_nonsense_is_a_value_error(text: str) -> None:
    for parse in (parse_duration, parse_amount):
        try:
            parse(text)
        except ValueError:
            continue


def test_tables_line_up_with_chinese() -> None:
    lines = format_table(("名字", "price"), [("机器 A", "3 元"), ("b", "12 元")], right=(1,)).splitlines()
    assert len({display_width(line) for line in lines}) == 1


def test_blanks_of_others_push_nothing_to_another_row() -> None:
    for blank in (" ", "\u3000", "\u2800", "\u3164", "\u115f"):
        assert format_table(("a",), [(f"V100{blank * 90}mine",)]).split("\n")[2] == "V100 mine"


@pytest.mark.parametrize(
    ("text", "columns"), [("é", 1), ("e\u0301", 1), ("👩\u200d💻", 4), ("한", 2), ("\u1112\u1161\u11ab", 2)]
)
def test_what_joins_takes_no_column(text: str, columns: int) -> None:
    assert display_width(text) == columns


@pytest.mark.parametrize("text", ["👩\u200d💻 done", "می\u200cخواهم"])
def test_joiners_of_a_spelling_stay(text: str) -> None:
    assert strip_to_line(text) == text


@pytest.mark.parametrize("text", ["a\u200db", "\u200dab", "ab\u200c", "a\u200d\u200c\u200db"])
def test_joiners_that_join_nothing_are_stripped(text: str) -> None:
    assert strip_to_line(text) == "ab"


def test_no_secret_is_printed() -> None:
    with pytest.raises(TypeError):
        result_json("x", {"password": Secret("x")})


def test_money_has_three_forms() -> None:
    assert to_json_value(CNY.money("3.60")) == {"amount": "3.60", "minor": 360, "currency": "CNY"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2020-06-01T18:30+08:00", datetime(2020, 6, 1, 10, 30, tzinfo=UTC)),
        ("2020-06-01 18:30Z", datetime(2020, 6, 1, 18, 30, tzinfo=UTC)),
    ],
)
def test_times_with_a_zone(text: str, found: datetime) -> None:
    assert parse_time(text, datetime(2020, 6, 1, tzinfo=UTC)) == found


def test_time_without_a_date_is_the_next_local_one() -> None:
    now = datetime(2020, 6, 1, 12, 0, 30, tzinfo=UTC)
    for minutes in (1, 30, 24 * 60 - 1):
        expected = (now + timedelta(minutes=minutes)).replace(second=0)
        assert parse_time(f"{expected.astimezone():%H:%M}", now) == expected


@pytest.mark.parametrize("text", ["", "18", "25:00", "soon", "18:3x"])
def test_invalid_times(text: str) -> None:
    with pytest.raises(ValueError, match=r"isoformat|hour"):
        parse_time(text, datetime(2020, 6, 1, tzinfo=UTC))


def test_lists_of_durations() -> None:
    assert parse_durations("5m, 1h，15分; 60m") == tuple(timedelta(minutes=n) for n in (60, 15, 5))
    assert parse_durations("") == ()
    with pytest.raises(ValueError, match="not a valid duration"):
        parse_durations("5m, soon")


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("now", "text", "meant"),
    [
        # The clocks go back at 03:00 on 25 October 2026, and forward at 02:00 on 28 March 2027.
        ("2026-10-24T20:00+02:00", "18:30", "2026-10-25T18:30+01:00"),
        ("2026-10-24T20:00+02:00", "02:30", "2026-10-25T02:30+02:00"),
        ("2026-10-25T02:40+02:00", "02:30", "2026-10-25T02:30+01:00"),
        ("2026-10-25T02:40+01:00", "02:30", "2026-10-26T02:30+01:00"),
        ("2027-03-27T20:00+01:00", "18:30", "2027-03-28T18:30+02:00"),
        ("2027-03-27T20:00+01:00", "02:30", "2027-03-28T03:30+02:00"),
        ("2026-07-01T23:59+02:00", "00:00", "2026-07-02T00:00+02:00"),
        ("2026-07-01T12:00+02:00", "2026-12-01T18:00", "2026-12-01T18:00+01:00"),
        ("2026-07-01T12:00+02:00", "2026-12-01T18:00Z", "2026-12-01T19:00+01:00"),
    ],
)
def test_local_times_are_those_of_their_own_day(now: str, text: str, meant: str) -> None:
    assert parse_time(text, datetime.fromisoformat(now)) == datetime.fromisoformat(meant)
