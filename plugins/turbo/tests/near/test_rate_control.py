"""How hard a push compresses: the level follows the connection's throughput and the processor's speed."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gpurent.api import PushRequest
from gpurent.testing.local_files import open_sources
from gpurent_plugin_turbo.near.connection import rate_control
from gpurent_plugin_turbo.near.connection.rate_control import MIB, AckRate, BandwidthLimit, CompressionLevel
from gpurent_plugin_turbo.near.push.push_units import FilePack
from gpurent_plugin_turbo.near.push.scan import SourceScan
from gpurent_plugin_turbo.near.push.unit_builder import UnitBuilder
from gpurent_plugin_turbo.shared.codec import RAW, Codec


class FakeClock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(rate_control, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    monkeypatch.setattr(rate_control, "CPU_COUNT", 2)
    return FakeClock(monkeypatch)


def simulate_three_seconds(
    level: CompressionLevel, clock: FakeClock, rate: float, *, full: bool = True, near: bool = False
) -> int:
    """Simulate three seconds of a connection with this rate; return the compression level."""
    for _ in range(30):
        clock.now += 0.11
        level.record_rate(rate, is_queue_backed_up=full, is_low_latency=near)
    return level.current


def test_slower_connection_gets_a_higher_level(clock: FakeClock) -> None:
    found = [
        simulate_three_seconds(CompressionLevel(), clock, rate) for rate in (0.5e6, 6e6, 25e6, 60e6, 900e6)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] == 11
    assert found[-1] == 0


def test_slower_processor_gets_a_lower_level(clock: FakeClock) -> None:
    quick, slow = CompressionLevel(), CompressionLevel()
    for level, speed in ((quick, 1.0), (slow, 0.2)):
        for which, (raw, shape) in rate_control.ASSUMED_SPEEDS.items():
            for _ in range(20):
                level.record_compression(which, MIB, int(0.3 * shape * MIB), MIB / (raw * speed))
    assert simulate_three_seconds(quick, clock, 20e6) > simulate_three_seconds(slow, clock, 20e6)


def test_unsaturated_connection_gets_a_lower_level(clock: FakeClock) -> None:
    level = CompressionLevel()
    before = simulate_three_seconds(level, clock, 10e6)
    assert simulate_three_seconds(level, clock, 10e6, full=False) < before


def test_low_latency_connection_is_measured_with_raw_data(clock: FakeClock) -> None:
    level = CompressionLevel()
    assert simulate_three_seconds(level, clock, 900e6, near=True) == 1, "little is pressed in any case"
    level.record_compression(
        1,
        rate_control.MIN_COMPRESSED_BYTES,
        rate_control.MIN_COMPRESSED_BYTES // 3,
        rate_control.MIN_COMPRESSED_BYTES / 350e6,
    )
    assert simulate_three_seconds(level, clock, 900e6, near=True) == 0
    slow = CompressionLevel()
    slow.record_compression(
        1,
        rate_control.MIN_COMPRESSED_BYTES,
        rate_control.MIN_COMPRESSED_BYTES // 3,
        rate_control.MIN_COMPRESSED_BYTES / 350e6,
    )
    assert simulate_three_seconds(slow, clock, 10e6, near=True) > 0


def test_first_units_on_a_long_path_are_compressed_harder(clock: FakeClock) -> None:
    for trip, waits, expected in ((0.1, False, 6), (0.02, True, 6), (0.02, False, 3)):
        level = CompressionLevel()
        level.raise_for_slow_start(trip, waits)
        assert level.current == expected


class InterruptedCodec(Codec):
    """A codec whose processor is given to other processes in the middle of the work."""

    def compress(self, codec: int, level: int, data: bytes | bytearray | memoryview) -> bytes:
        time.sleep(0.05)
        return bytes(super().compress(codec, level, data))


class RecordingLevel(CompressionLevel):
    def __init__(self) -> None:
        super().__init__()
        self.rates: list[float] = []

    def record_compression(self, level: int, raw: int, tight: int, seconds: float) -> None:
        self.rates.append(raw / seconds)


def make_pack(folder: Path, data: bytes) -> FilePack:
    (folder / "file").write_bytes(data)
    push = PushRequest(sources=(folder,), target="there", contents_only=True)
    return FilePack([entry for entry in SourceScan(push, open_sources(push)).iter_entries() if entry.size])


def test_level_speed_is_measured_in_processor_time(tmp_path: Path) -> None:
    level = RecordingLevel()
    unit, lost = UnitBuilder(level).build_unit(
        make_pack(tmp_path, b"some words " * 90_000), InterruptedCodec()
    )
    assert unit is not None
    assert not lost
    assert unit.level == 1
    assert min(level.rates) > 1e6 / 0.05, "as if nobody had interrupted it"


def test_incompressible_data_is_sent_raw(tmp_path: Path) -> None:
    level = RecordingLevel()
    unit, _ = UnitBuilder(level).build_unit(make_pack(tmp_path, os.urandom(MIB)), Codec())
    assert unit is not None
    assert (unit.codec_kind, unit.level) == (RAW, 0)
    assert not level.rates


def test_credit_is_three_tenths_of_a_second_of_the_stream(clock: FakeClock) -> None:
    rate = AckRate()
    assert (rate.compute_max_in_flight(0.0, True), rate.compute_max_in_flight(0.05, False)) == (
        4 * MIB,
        2 * MIB,
    )
    for _ in range(20):
        rate.mark_sent()
        clock.now += 0.1
        rate.record_ack(2 * MIB, clock.now - 0.1, idle=True)
    assert rate.rtt == pytest.approx(0.1)
    assert rate.compute_max_in_flight(0.01, False) == pytest.approx(6 * MIB, rel=0.01)
    assert rate.compute_max_in_flight(0.25, False) == pytest.approx(20 * MIB, rel=0.01)
    assert rate.compute_max_in_flight(9.0, False) == 32 * MIB


def test_bandwidth_limit_holds_over_all_streams(clock: FakeClock) -> None:
    limit = BandwidthLimit(2_000_000)
    assert [limit.reserve(1_000_000) for _ in range(4)] == pytest.approx([0.0, 0.5, 1.0, 1.5])
    clock.now += 10
    assert limit.reserve(1_000_000) == 0.0, "what was not used is not made up for"
    assert BandwidthLimit(0).reserve(1 << 40) == 0.0
