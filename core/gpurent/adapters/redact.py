"""Secrets out of logs, control characters out of terminals."""

from __future__ import annotations

import base64
import logging
import re
from urllib.parse import quote, quote_plus

from gpurent.model.secret import Secret

MASK = "***"
SHORTEST = 4
# CSI and OSC sequences whole, then every other escape, C0 and C1 control, and bidirectional override.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_][^\x1b]*\x1b\\|\x1b[ -/]*[0-~]"
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def strip_terminal(text: str) -> str:
    """Remote ``text`` as it may be shown.

    No escape sequence, control character (but tab and newline) or direction trick.
    """
    return _CONTROLS.sub("", _ESCAPES.sub("", text.replace("\r\n", "\n")))


class Redactor(logging.Filter):
    """Knows the values that must not be seen, and their usual disguises. Also a filter for log handlers."""

    def __init__(self) -> None:
        super().__init__()
        self._values: set[str] = set()

    def register(self, secret: Secret) -> None:
        """Hide ``secret`` from now on; very short values are not registered, they would tear ordinary text."""
        text = secret.reveal()
        if len(text) < SHORTEST:
            return
        raw = text.encode()
        self._values.update(
            {
                text,
                quote(text, safe=""),
                quote_plus(text),
                base64.b64encode(raw).decode(),
                base64.urlsafe_b64encode(raw).decode(),
                text.encode("unicode_escape").decode(),
            }
        )

    def scrub(self, text: str) -> str:
        """``text`` without any registered value; the longest go first."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, MASK)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = self.scrub(record.getMessage())
        record.args = None
        if record.exc_info:
            record.exc_text = self.scrub(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True
