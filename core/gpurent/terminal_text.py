"""Text of others: made safe for a terminal, a table's cell, a notification or a page, and the type that says so."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Self


@cache  # compiled at the first text that needs it: most texts of most commands do not
def _escapes() -> re.Pattern[str]:
    """Match whole CSI, OSC and string sequences, and every other escape sequence."""
    return re.compile(
        r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[PX^_][^\x1b]*\x1b\\|\x1b[ -/]*[0-~]"
    )


@cache
def _controls() -> re.Pattern[str]:
    return re.compile(
        # joiners that join nothing: between two letters or signs beyond ASCII they belong to the spelling
        r"(?<![^\x00-\x7f\u200c\u200d])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f\u200c\u200d])|"
        "[\x00-\x08\x0b-\x1f\x7f-\x9f"
        # direction marks and overrides, zero-width characters, line and paragraph separators, annotations, tags
        "\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
        # lone surrogates: they cannot be encoded for a terminal
        "\ud800-\udfff]"
    )


@cache
def _blanks() -> re.Pattern[str]:
    """Match what looks like nothing, twice or more: all kinds of spaces, fillers of Hangul, the empty braille sign."""
    return re.compile(r"[\s\u00a0\u115f\u1160\u2800\u3164\uffa0]{2,}")


@cache
def _separators() -> re.Pattern[str]:
    return re.compile("\r\n|[\t\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


def strip_terminal(text: str) -> str:
    """Return remote ``text`` as it may be shown.

    Removes escape sequences, control characters (except tab and newline), direction marks and zero-width characters.
    """
    if text.replace("\n", "").isprintable():
        return text
    return _controls().sub("", _escapes().sub("", text.replace("\r\n", "\n")))


def strip_to_line(text: str) -> str:
    """Return ``text`` as `strip_terminal` does, on one line: whatever separates lines or cells becomes a space."""
    if text.isprintable():
        return text
    return _controls().sub("", _separators().sub(" ", _escapes().sub("", text)))


def mark_hidden(text: str) -> str:
    """Return ``text`` with U+FFFD for each character that `strip_terminal` removes.

    For what is parsed afterwards: without them a line could say something else than what was sent.
    """
    return _controls().sub("\ufffd", text.replace("\r\n", "\n"))


def collapse_blanks(text: str, mark: Callable[[int], str] = lambda _count: " ") -> str:
    """Return ``text`` with ``mark(count)`` in place of blanks in a row, which could push the rest to another row."""
    return _blanks().sub(lambda found: mark(len(found[0])), text)


MAX_LINE_LENGTH = 4096
MAX_TEXT_LENGTH = 1 << 18


class ForeignText(str):
    """One line that others wrote, in whole or in part: a provider, a machine, a mail, a plugin, a repository.

    It is cleaned when it is made, so that it can neither move a cursor nor pose as a row of ours, wherever it is shown,
    stored or sent. At most `MAX_LINE_LENGTH` characters are kept.

    A field of a value has it as its converter, so that plugins go on to pass a `str`, and what was stored as text comes
    back as the type. Fields that identify something are declared as `str` all the same: they are keys of mappings.
    """

    __slots__ = ()

    def __new__(cls, text: str = "") -> Self:
        if type(text) is cls:
            return text
        return super().__new__(cls, strip_to_line(text[: 2 * MAX_LINE_LENGTH])[:MAX_LINE_LENGTH])


class ForeignLines(str):
    """As `ForeignText`, but of several lines: the text of a mail, of a notice. At most `MAX_TEXT_LENGTH` characters."""

    __slots__ = ()

    def __new__(cls, text: str = "") -> Self:
        return text if type(text) is cls else super().__new__(cls, strip_terminal(text[:MAX_TEXT_LENGTH]))


NO_TEXT = ForeignText()
NO_LINES = ForeignLines()


def to_foreign_texts(texts: Sequence[str]) -> tuple[ForeignText, ...]:
    """Convert a field that holds several lines, each of which is cleaned."""
    return tuple(map(ForeignText, texts))


def to_foreign_map(texts: Mapping[str, str]) -> Mapping[str, str]:
    """Convert a field that holds texts by name."""
    return {ForeignText(name): ForeignText(text) for name, text in texts.items()}
