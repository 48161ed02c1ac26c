"""Large files, by arithmetic and as sparse files; many files in bounded memory."""

from __future__ import annotations

import logging
import os
import tracemalloc
from pathlib import Path

import pytest

from gpurent.api import PullRequest, PushRequest, TransferLimits
from gpurent.testing.fakes import CountingProgress
from gpurent.testing.local_files import LOCAL_FILES, open_sources
from gpurent.testing.ssh_fixture import machine_fixture
from gpurent_plugin_turbo.backend import TurboBackend
from gpurent_plugin_turbo.near.push.push_units import LargeUpload
from gpurent_plugin_turbo.near.push.scan import SourceScan
from gpurent_plugin_turbo.shared.files import block_size
from gpurent_plugin_turbo.shared.wire import PUSHED_PIECE

GB = 10**9
LOG = logging.getLogger(__name__)


@pytest.mark.parametrize("size", [1, 256 << 10, GB, 100 * GB, 10_000 * GB])
def test_block_digests_of_a_large_file_stay_small(size: int) -> None:
    step = block_size(size)
    assert 256 << 10 <= step <= 16 << 20
    assert -(-size // step) * 16 <= max(65_552, size >> 19)
    assert PUSHED_PIECE.unpack(PUSHED_PIECE.pack(b"x" * 33, size - 1, size))[1:] == (size - 1, size)


def test_the_pieces_of_a_large_file_cover_it_once() -> None:
    size = 100 * GB
    big = LargeUpload(1, entry=None)  # type: ignore[arg-type]
    big.ranges = [(0, size)]
    at = pieces = 0
    while (piece := big.cut_piece(64 << 20)) is not None:
        assert piece.offset == at
        at += piece.size
        pieces += 1
    assert (at, pieces) == (size, -(-size // (64 << 20)))


async def test_sparse_file_of_100_gigabytes_is_uploaded_without_holes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    with (source / "disk.img").open("wb") as file:
        file.write(b"begin")
        file.seek(100 * GB)
        file.write(b"end")
    async with machine_fixture(tmp_path) as remote:
        report = await TurboBackend({}, LOCAL_FILES).push(
            await remote.connect(),
            PushRequest(sources=(source,), target="w", contents_only=True),
            CountingProgress(),
        )
        uploaded = remote.home / "w" / "disk.img"
        assert uploaded.stat().st_size == 100 * GB + 3
        assert uploaded.stat().st_blocks * 512 < 1_000_000
        with uploaded.open("rb") as file:
            assert file.read(5) == b"begin"
            file.seek(100 * GB)
            assert file.read() == b"end"
        assert report.sent < 1_000_000


async def test_sparse_file_of_100_gigabytes_is_downloaded_without_holes(tmp_path: Path) -> None:
    async with machine_fixture(tmp_path) as remote:
        out = remote.home / "out"
        out.mkdir()
        with (out / "disk.img").open("wb") as file:
            file.write(b"begin")
            file.seek(50 * GB)
            file.write(os.urandom(3_000_000))
            file.truncate(100 * GB)
        with (out / "nothing.img").open("wb") as file:
            file.truncate(100 * GB)
        report = await TurboBackend({}, LOCAL_FILES).pull(
            await remote.connect(),
            PullRequest(sources=("out",), target=tmp_path / "home", limits=TransferLimits(max_expansion=0)),
            progress := CountingProgress(),
        )
        assert report.sent < 5_000_000
        assert progress.moved == progress.size == report.total == 200 * GB
        for name in ("disk.img", "nothing.img"):
            downloaded, original = tmp_path / "home" / "out" / name, out / name
            assert downloaded.stat().st_size == 100 * GB
            assert downloaded.stat().st_blocks * 512 < 5_000_000
            for at in (0, 50 * GB, 100 * GB - 10):
                with downloaded.open("rb") as first_file, original.open("rb") as second_file:
                    first_file.seek(at)
                    second_file.seek(at)
                    assert first_file.read(3_000_001) == second_file.read(3_000_001)


def measure_scan_peak(folder: Path) -> int:
    push = PushRequest(sources=(folder,), target=".", contents_only=True)
    tracemalloc.start()
    try:
        count = sum(1 for _ in SourceScan(push, open_sources(push)).iter_entries())
        assert count
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def make_many_files(folder: Path, count: int) -> Path:
    for number in range(count):
        if number % 500 == 0:
            (folder / f"d{number // 500:05}").mkdir(parents=True)
        os.close(os.open(folder / f"d{number // 500:05}" / f"f{number:07}", os.O_CREAT | os.O_WRONLY, 0o644))
    return folder


def test_a_scan_of_many_files_needs_little_memory(tmp_path: Path) -> None:
    small = measure_scan_peak(make_many_files(tmp_path / "s", 1000))
    large = measure_scan_peak(make_many_files(tmp_path / "l", 6000))
    assert large < 1.5 * small + 200_000


@pytest.mark.nightly
@pytest.mark.timeout(1800)
async def test_a_million_files(tmp_path: Path) -> None:
    source = make_many_files(tmp_path / "source", 1_000_000)
    async with machine_fixture(tmp_path) as remote:
        connection = await remote.connect()
        tracemalloc.start()
        report = await TurboBackend({}, LOCAL_FILES).push(
            connection, PushRequest(sources=(source,), target="w", contents_only=True), CountingProgress()
        )
        LOG.info("up: %.0f s, peak %d bytes", report.seconds, tracemalloc.get_traced_memory()[1])
        tracemalloc.reset_peak()
        assert report.files == 1_000_000
        home = await TurboBackend({}, LOCAL_FILES).pull(
            connection, PullRequest(sources=("w",), target=tmp_path / "home"), CountingProgress()
        )
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        LOG.info("down: %.0f s, peak %d bytes", home.seconds, peak)
        assert home.files == 1_000_000
        assert peak < 150_000_000
