"""The output of a job as it arrives: safe for a terminal, and whole although it comes in pieces."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder

from gpurent.terminal_text import strip_terminal

# The beginning of an escape sequence whose end has not arrived; longer ones are not waited for.
_UNFINISHED = re.compile(
    r"(?:\r|\x1b(?:\[[0-?]{0,64}[ -/]{0,8}|[\]PX^_][^\x07\x1b]{0,4096}\x1b?|[ -/]{0,8})?)\Z"
)


class StreamStripper:
    """Strips the bytes of a program's output as they arrive, and shows each state of a progress bar on its own line."""

    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def feed(self, data: bytes) -> str:
        """Return what can be shown now; an escape sequence that has only begun waits for its end."""
        text = self._rest + self._decoder.decode(data)
        unfinished = _UNFINISHED.search(text)
        self._rest = unfinished[0] if unfinished else ""
        text = text[: len(text) - len(self._rest)]
        return text if text.isprintable() else strip_terminal(text.replace("\r\n", "\n").replace("\r", "\n"))
