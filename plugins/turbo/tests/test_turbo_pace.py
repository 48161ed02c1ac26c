"""How hard a push presses: the level follows what the line carries and what a processor can do."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gpurent.api import Push
from gpurent_plugin_turbo.near.connection import rate_control
from gpurent_plugin_turbo.near.connection.rate_control import MIB, Level, Rate, Throttle
from gpurent_plugin_turbo.near.push.push_units import Pack
from gpurent_plugin_turbo.near.push.scan import Scan
from gpurent_plugin_turbo.near.push.unit_builder import Builder
from gpurent_plugin_turbo.shared.codec import RAW, Codec


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(rate_control, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(rate_control, "CORES", 2)
    return Clock(monkeypatch)


def carry(level: Level, clock: Clock, rate: float, *, full: bool = True, near: bool = False) -> int:
    """Three seconds of such a line."""
    for _ in range(30):
        clock.now += 0.11
        level.carried(rate, full=full, near=near)
    return level.now


def test_a_slower_line_gets_a_higher_level(clock: Clock) -> None:
    found = [carry(Level(), clock, rate) for rate in (0.5e6, 6e6, 25e6, 60e6, 900e6)]
    assert found == sorted(found, reverse=True)
    assert found[0] == 11
    assert found[-1] == 0


def test_a_slower_processor_gets_a_lower_level(clock: Clock) -> None:
    quick, slow = Level(), Level()
    for level, speed in ((quick, 1.0), (slow, 0.2)):
        for which, (raw, shape) in rate_control.GUESSES.items():
            for _ in range(20):
                level.pressed(which, MIB, int(0.3 * shape * MIB), MIB / (raw * speed))
    assert carry(quick, clock, 20e6) > carry(slow, clock, 20e6)


def test_a_line_that_waits_for_us_gets_less_pressing(clock: Clock) -> None:
    level = Level()
    before = carry(level, clock, 10e6)
    assert carry(level, clock, 10e6, full=False) < before


def test_a_near_line_shows_what_it_can_while_it_is_raw(clock: Clock) -> None:
    level = Level()
    assert carry(level, clock, 900e6, near=True) == 1, "little is pressed in any case"
    level.pressed(1, rate_control.FEW, rate_control.FEW // 3, rate_control.FEW / 350e6)
    assert carry(level, clock, 900e6, near=True) == 0
    slow = Level()
    slow.pressed(1, rate_control.FEW, rate_control.FEW // 3, rate_control.FEW / 350e6)
    assert carry(slow, clock, 10e6, near=True) > 0


def test_what_goes_first_over_a_long_path_is_pressed_harder(clock: Clock) -> None:
    for trip, waits, wanted in ((0.1, False, 6), (0.02, True, 6), (0.02, False, 3)):
        level = Level()
        level.far(trip, waits)
        assert level.now == wanted


class Interrupted(Codec):
    """A processor that is given to others in the middle of the work."""

    def compress(self, codec: int, level: int, data: bytes | memoryview) -> bytes:
        time.sleep(0.05)
        return bytes(super().compress(codec, level, data))


class Told(Level):
    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []

    def pressed(self, level: int, raw: int, tight: int, seconds: float) -> None:
        self.rates.append(raw / seconds)


def pack_of(folder: Path, data: bytes) -> Pack:
    (folder / "file").write_bytes(data)
    push = Push(sources=(folder,), target="there", content=True)
    return Pack([entry for entry in Scan(push).entries() if entry.size])


def test_a_level_s_speed_is_the_processor_s_not_the_clock_s(tmp_path: Path) -> None:
    told = Told()
    unit, lost = Builder(told, False).build(pack_of(tmp_path, b"some words " * 90_000), Interrupted())
    assert unit is not None
    assert not lost
    assert unit.level == 1
    assert min(told.rates) > 1e6 / 0.05, "as if nobody had interrupted it"


def test_what_does_not_shrink_travels_as_it_is(tmp_path: Path) -> None:
    told = Told()
    unit, _ = Builder(told, False).build(pack_of(tmp_path, os.urandom(MIB)), Codec())
    assert unit is not None
    assert (unit.codec, unit.level) == (RAW, 0)
    assert not told.rates


def test_credit_is_three_tenths_of_a_second_of_the_line(clock: Clock) -> None:
    rate = Rate()
    assert (rate.credit(0.0, True), rate.credit(0.05, False)) == (4 * MIB, 2 * MIB)
    for _ in range(20):
        rate.sent()
        clock.now += 0.1
        rate.acked(2 * MIB, clock.now - 0.1, idle=True)
    assert rate.trip == pytest.approx(0.1)
    assert rate.credit(0.01, False) == pytest.approx(6 * MIB, rel=0.01)
    assert rate.credit(0.25, False) == pytest.approx(20 * MIB, rel=0.01)
    assert rate.credit(9.0, False) == 32 * MIB


def test_a_limit_holds_over_all_lines(clock: Clock) -> None:
    limit = Throttle(2_000_000)
    assert [limit.wait(1_000_000) for _ in range(4)] == pytest.approx([0.0, 0.5, 1.0, 1.5])
    clock.now += 10
    assert limit.wait(1_000_000) == 0.0, "what was not used is not made up for"
    assert Throttle(0).wait(1 << 40) == 0.0
