"""The progress of a transfer never passes its end, whatever grows, is sent again, or is not known yet."""

from __future__ import annotations

import os
import pty
import re
import subprocess
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


# What a terminal is told to do before a message: to go to the start of the line, and to clear it.
_CLEARED = "\r\x1b[2K"
_TELL_BESIDE_A_BAR = """
from datetime import UTC, datetime
from gpurent.cli.terminal import UserTerminal
from gpurent.domain.events import Event, EventKind

terminal = UserTerminal()
bar = terminal.start_progress("results")
bar.set_total(1, 100)
bar.advance(40, "a")
terminal.show_event(Event(kind=EventKind.WARNING, at=datetime.now(UTC), text="told"))
terminal.show_output(b"written\\n")
bar.advance(60, "a")
bar.finish_file("a")
terminal.close()
"""


def test_what_is_told_beside_a_bar_has_a_line_of_its_own() -> None:
    main, side = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "GPURENT_LANG": "en"}
    with subprocess.Popen(
        [sys.executable, "-c", _TELL_BESIDE_A_BAR], stdin=side, stdout=side, stderr=side, env=environment
    ):
        os.close(side)
        shown = b""
        while chunk := _read(main):
            shown += chunk
    os.close(main)
    lines = [line.rpartition(_CLEARED)[2] for line in shown.decode().split("\r\n")]
    texts = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", line).strip() for line in lines]
    assert "told" in texts
    assert "written" in texts
    assert [text for text in texts if text.startswith("results: 1/1")]


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 4096)
    except OSError:  # as Linux ends it
        return b""


def test_a_bar_that_cannot_be_shown_ends_no_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown = ConsoleProgress("upload")
    assert shown._bar is not None
    shown._bar.stop()

    def fail() -> None:
        raise OSError("the terminal is closed")

    monkeypatch.setattr(shown._bar, "stop", fail)
    monkeypatch.setattr(shown._bar, "start", fail)
    written = []
    with shown.pause():
        written.append("to a file")
    assert written
