"""One value of the project file: from TOML to the model, or a `ValueError` that says what was expected."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TypeVar

from gpurent.domain.money import Money
from gpurent.domain.money_text import money_of, parse_money
from gpurent.domain.project import Key, Kind
from gpurent.locale import N_, _
from gpurent.locale.spans import parse_span

T = TypeVar("T")
MOST = 1_000_000
LONGEST = 100_000

EXPECTED: Mapping[Kind, str] = {
    Kind.TEXT: N_("a text is expected"),
    Kind.WORDS: N_("a shell line or a list of words is expected"),
    Kind.TEXTS: N_("a list of texts is expected"),
    Kind.PATH: N_("a path below the file's folder is expected"),
    Kind.PATHS: N_("a list of paths below the file's folder is expected"),
    Kind.PACKAGES: N_("a requirements file or a list of packages is expected"),
    Kind.SPAN: N_("a span of time is expected"),
    Kind.MOMENT: N_("a time or a span of time is expected"),
    Kind.MONEY: N_("an amount of money with its currency is expected"),
    Kind.NUMBER: N_("a whole number is expected"),
    Kind.PERCENT: N_("a whole number from 0 to 100 is expected"),
    Kind.FLAG: N_("true or false is expected"),
}


def value_of(key: Key, value: object) -> object:
    """The model's value. A `ValueError` without words means what `EXPECTED` says."""
    return _READ[key.kind](key, value)


def _text(key: Key, value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST or not _printable(value):
        raise ValueError
    if key.choices and value not in key.choices:
        raise ValueError(_("one of these is expected: {choices}").format(choices=", ".join(key.choices)))
    return value


def _printable(text: str) -> bool:
    return all(letter.isprintable() or letter in "\n\t" for letter in text)


def _texts(key: Key, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError
    return tuple(_filled(_text(key, item)) for item in value)


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError(_("an empty text means nothing here"))
    return text


def _words(key: Key, value: object) -> tuple[str, ...]:
    """A list stays as it is; a text is one shell line, split where nothing but words is in it."""
    if isinstance(value, list):
        words = tuple(_text(key, item) for item in value)
        if not words or not words[0].strip():
            raise ValueError
        return words
    line = _filled(_text(key, value))
    if any(letter in line for letter in ";|&<>$`\n*?~#("):
        return (line,) if " " in line else (f"{line} ",)
    try:
        return tuple(shlex.split(line))
    except ValueError:
        raise ValueError(_("a quotation mark is never closed")) from None


def below(text: str) -> str:
    """A path that stays below its folder, tidied; else a `ValueError`."""
    path = PurePosixPath(text)
    if not text.strip() or path.is_absolute() or ".." in path.parts or "\n" in text:
        raise ValueError(_("{name} does not lie below the folder").format(name=text))
    return str(path)


def _path(key: Key, value: object) -> str:
    return below(_text(key, value))


def _paths(key: Key, value: object) -> tuple[str, ...]:
    return tuple(below(item) for item in _texts(key, value))


def _packages(key: Key, value: object) -> str | tuple[str, ...]:
    if isinstance(value, list):
        found = _texts(key, value)
        if any(item.startswith("-") or "\n" in item for item in found):
            raise ValueError(_("options go into a requirements file"))
        return found
    return _path(key, value)


def _span(key: Key, value: object) -> timedelta:
    return _own(parse_span, _text(key, value))


def _moment(key: Key, value: object) -> timedelta | datetime:
    """A time without a zone is the user's own."""
    if isinstance(value, datetime):
        return _aware(value)
    text = _text(key, value).strip()
    try:
        return parse_span(text)
    except ValueError:
        return _aware(_own(datetime.fromisoformat, text))


def _aware(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except (OverflowError, OSError):
        raise ValueError from None


def _money(key: Key, value: object) -> Money:
    number, code = _own(parse_money, _text(key, value))
    if not code or not number:
        raise ValueError
    return money_of((number, code))


def _own(read: Callable[[str], T], text: str) -> T:
    """``read`` speaks to programmers; the person is told what was expected."""
    try:
        return read(text)
    except (ValueError, OverflowError):
        raise ValueError from None


def _number(key: Key, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError
    if not key.least <= value <= MOST:
        raise ValueError(
            _("a whole number from {least} to {most} is expected").format(least=key.least, most=MOST)
        )
    return value


def _percent(key: Key, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 100:
        raise ValueError
    return value


def _flag(key: Key, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


_READ: Mapping[Kind, Callable[[Key, object], object]] = {
    Kind.TEXT: _text,
    Kind.WORDS: _words,
    Kind.TEXTS: _texts,
    Kind.PATH: _path,
    Kind.PATHS: _paths,
    Kind.PACKAGES: _packages,
    Kind.SPAN: _span,
    Kind.MOMENT: _moment,
    Kind.MONEY: _money,
    Kind.NUMBER: _number,
    Kind.PERCENT: _percent,
    Kind.FLAG: _flag,
}
