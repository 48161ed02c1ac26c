"""The far side's room for partials, which another line may take away when it has ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpurent_plugin_turbo.far.partials import Partials
from gpurent_plugin_turbo.far.workers import Crew
from gpurent_plugin_turbo.shared.wire import PARTS, Line


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Partials:
    monkeypatch.chdir(tmp_path)
    return Partials(Line(-1, -1), Crew(lambda line: None))


def test_a_room_that_was_taken_away_is_made_anew(room: Partials) -> None:
    os.close(room.handle(b"a" * 33, 10))
    (there() / ("a" * 33)).unlink()
    there().rmdir()
    os.close(room.handle(b"b" * 33, 10))
    assert [path.name for path in there().iterdir()] == ["b" * 33]


def test_sweeping_a_room_that_is_gone_is_no_error(room: Partials) -> None:
    room.sweep(b"a" * 33)
    os.close(room.handle(b"a" * 33, 10))
    os.close(room.handle(b"a" * 20 + b"-" + b"1" * 12, 10))
    room.sweep(b"a" * 33)
    assert [path.name for path in there().iterdir()] == ["a" * 33]


def there() -> Path:
    return Path(os.fsdecode(PARTS))
