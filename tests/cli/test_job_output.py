"""The output of a job: progress bars stay one line, nothing is lost or shown twice, and a raw log is what it was."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import pytest
from hypothesis import given, strategies as st

from gpurent.cli.stream_stripper import STATE_INTERVAL, StreamStripper
from gpurent.cli.terminal import UserTerminal

BAR = b"start\n" + b"".join(b"\r%3d%%|##  |" % percent for percent in range(0, 101, 5)) + b"\r\nnext\n"


def feed_all(stripper: StreamStripper, data: bytes, size: int) -> list[list[str]]:
    return [stripper.feed(data[at : at + size]) for at in range(0, len(data), size)] + [stripper.finish()]


def show_on_screen(written: Sequence[Sequence[str]]) -> list[str]:
    """Return the rows that a terminal shows in the end."""
    rows = [""]
    for parts in written:
        for number, part in enumerate(parts):
            first, *more = part.split("\n")
            rows[-1] = first if number else rows[-1] + first
            rows += more
    return rows


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize("in_place", [True, False])
def test_of_a_progress_bar_its_end_stays(size: int, in_place: bool) -> None:
    written = feed_all(StreamStripper(in_place=in_place), BAR, size)
    assert show_on_screen(written) == ["start", "100%|##  |", "next", ""]


def test_in_a_file_a_bar_that_goes_on_shows_a_state_from_time_to_time() -> None:
    now = [0.0]
    stripper = StreamStripper(clock=lambda: now[0])
    shown = ""
    for percent in range(100):
        now[0] += STATE_INTERVAL / 10
        shown += "".join(stripper.feed(b"\r%d%%" % percent))
    assert shown.splitlines() == [f"{percent}%" for percent in range(9, 100, 10)]
    assert "".join(stripper.feed(b"\rdone\nnext")) == "done\nnext"


def test_what_has_no_end_of_line_is_shown_at_once() -> None:
    stripper = StreamStripper()
    assert stripper.feed(b"Password: ") == ["Password: "]
    assert stripper.feed(b"\rretry\r") == [""]
    assert "".join(stripper.finish()) == "\nretry\n"


def test_our_own_lines_do_not_go_on_behind_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    stripper = StreamStripper(in_place=True)
    stripper.feed(b"\r50%")
    assert stripper.break_line() == ["\n"]
    assert stripper.break_line() == [""]


@given(st.text(st.sampled_from("ab\r\n"), max_size=40), st.integers(1, 6))
def test_both_ways_end_with_the_same_lines(text: str, size: int) -> None:
    """A line is the last of its states that is not empty; what is not a terminal may show earlier ones above it."""
    screen = show_on_screen(feed_all(StreamStripper(in_place=True), text.encode(), size))
    file = show_on_screen(feed_all(StreamStripper(clock=lambda: 0.0), text.encode(), 1000))
    wanted = [
        next((state for state in reversed(line.split("\r")) if state), "")
        for line in re.sub("\r+\n", "\n", text).split("\n")
    ]
    assert screen == wanted
    assert [row for row in file if row] == [row for row in wanted if row]


def test_a_raw_log_is_shown_byte_for_byte(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    data = b"\x1b[1mbold\x1b[0m\r50%\r\xff\x00\n"
    terminal = UserTerminal(is_raw=True)
    terminal.show_output(data)
    terminal.close()
    sys.stdout.flush()
    assert capfdbinary.readouterr().out == data
