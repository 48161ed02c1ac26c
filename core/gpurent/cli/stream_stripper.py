"""The output of a job as it arrives: safe for a terminal, whole although it comes in pieces, progress bars in place."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Callable
from time import monotonic

from gpurent.terminal_text import strip_terminal

# The beginning of an escape sequence whose end has not arrived; longer ones are not waited for.
_UNFINISHED = re.compile(
    r"(?:\r+|\x1b(?:\[[0-?]{0,64}[ -/]{0,8}|[\]PX^_][^\x07\x1b]{0,4096}\x1b?|[ -/]{0,8})?)\Z"
)
_LINE_ENDS = re.compile("\r+\n")
STATE_INTERVAL = 30.0  # seconds between two states of one line that are shown in a file


class StreamStripper:
    """Strips the bytes of a program's output as they arrive. A carriage return begins another state of the same line.

    ``in_place``: the output is a terminal, where a state can take the place of the one before. Elsewhere the last state
    of a line is shown, and of a line that does not end one from time to time.
    """

    def __init__(self, *, in_place: bool = False, clock: Callable[[], float] = monotonic) -> None:
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._rest = ""
        self._in_place, self._clock = in_place, clock
        self._state: str | None = None  # of the unfinished line, where it is not shown yet
        self._shown_at = clock()
        self.is_line_open = False
        """Whether something of an unfinished line is shown."""

    def feed(self, data: bytes) -> list[str]:
        """Return what can be shown now; an escape sequence that has only begun waits for its end.

        Each part but the first takes the place of what is shown of its line; there is only one if not ``in_place``.
        """
        text = self._rest + self._decoder.decode(data)
        unfinished = _UNFINISHED.search(text)
        self._rest = unfinished[0] if unfinished else ""
        text = _LINE_ENDS.sub("\n", text[: len(text) - len(self._rest)])
        if "\r" not in text and self._state is None:
            if text:
                self.is_line_open = not text.endswith("\n")
            return [strip_terminal(text)]
        parts = [""]
        *lines, last = text.split("\n")
        for line in lines:
            self._add(parts, line)
            self._end_line(parts)
        self._add(parts, last)
        if self._state and self._clock() - self._shown_at >= STATE_INTERVAL:
            self._show_state(parts)
        return parts

    def break_line(self) -> list[str]:
        """Return what ends an unfinished line on a terminal, before text of our own."""
        is_broken = self._in_place and self.is_line_open
        self.is_line_open = self.is_line_open and not is_broken
        return ["\n" if is_broken else ""]

    def finish(self) -> list[str]:
        """Return what is left at the end of the output."""
        parts = [""]
        if self._state:
            self._show_state(parts)
        return parts

    def _add(self, parts: list[str], text: str) -> None:
        """Add to the unfinished line."""
        first, *states = text.split("\r")
        state = next((state for state in reversed(states) if state), None)
        if self._in_place or state is None:
            if self._state is not None:
                self._state += first
            elif first:
                parts[-1] += strip_terminal(first)
                self.is_line_open = True
        if state is None:
            return
        if self._in_place:
            parts.append(strip_terminal(state))
            self.is_line_open = True
        else:
            self._state = state

    def _end_line(self, parts: list[str]) -> None:
        if self._state is None:
            parts[-1] += "\n"
            self.is_line_open = False
            return
        if self._state:
            self._show_state(parts)
        self._state = None

    def _show_state(self, parts: list[str]) -> None:
        """Show the state on a line of its own."""
        parts[-1] += ("\n" if self.is_line_open else "") + strip_terminal(self._state or "") + "\n"
        self._state, self.is_line_open, self._shown_at = "", False, self._clock()
