"""The progress of a transfer never passes its end, whatever grows, is sent again, or is not known yet."""

from __future__ import annotations

import re
import sys

import pytest

import gpurent.cli.progress
from gpurent.cli.progress import ConsoleProgress


@pytest.fixture(autouse=True)
def always_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpurent.cli.progress, "REPORT_INTERVAL", -1.0)


def read_percents(text: str) -> list[int]:
    return [int(percent) for percent in re.findall(r"\((\d+) %\)", text)]


def test_a_file_that_grows_ends_at_a_hundred(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ConsoleProgress("upload")
    shown.set_total(1, 100)
    for _time in range(6):
        shown.advance(25, "growing")
    shown.finish_file("growing")
    shown.finish_file("once more")
    shown.close()
    printed = capsys.readouterr().err
    assert read_percents(printed) == [25, 50, 75, 100, 100, 100, 100]
    assert "upload: 2/2, " in printed


def test_before_the_size_is_known_there_is_no_percentage_of_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = ConsoleProgress("upload")
    shown.advance(10_000_000, "early")
    shown.set_total(1, 20_000_000)
    shown.advance(0, "early")
    assert read_percents(capsys.readouterr().err) == [0, 50]


def test_a_bar_has_its_end_at_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown = ConsoleProgress("upload")
    shown.set_total(1, 100)
    shown.advance(116, "growing")
    assert shown._bar is not None
    (task,) = shown._bar.tasks
    shown.close()
    assert (task.completed, task.total) == (116, 116)
