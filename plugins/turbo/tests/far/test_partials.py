"""The partials folder, which another stream that ended may remove."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpurent_plugin_turbo.far.partials import PartialFiles
from gpurent_plugin_turbo.far.workers import WorkerPool
from gpurent_plugin_turbo.shared.wire import PARTIALS_DIR, FrameStream


@pytest.fixture
def partials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PartialFiles:
    monkeypatch.chdir(tmp_path)
    return PartialFiles(FrameStream(-1, -1), WorkerPool(lambda frames: None))


def test_a_folder_that_was_removed_is_made_again(partials: PartialFiles) -> None:
    os.close(partials.open_partial(b"a" * 33, 10))
    (get_partials_dir() / ("a" * 33)).unlink()
    get_partials_dir().rmdir()
    os.close(partials.open_partial(b"b" * 33, 10))
    assert [path.name for path in get_partials_dir().iterdir()] == ["b" * 33]


def test_removing_stale_partials_of_a_missing_folder_is_no_error(partials: PartialFiles) -> None:
    partials.remove_stale_partials(b"a" * 33)
    os.close(partials.open_partial(b"a" * 33, 10))
    os.close(partials.open_partial(b"a" * 20 + b"-" + b"1" * 12, 10))
    partials.remove_stale_partials(b"a" * 33)
    assert [path.name for path in get_partials_dir().iterdir()] == ["a" * 33]


def get_partials_dir() -> Path:
    return Path(os.fsdecode(PARTIALS_DIR))
