"""One value of a field: from TOML or from typed text to the model, or a `ValueError` that says what was expected."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TypeVar

from gpurent.domain.money import Money
from gpurent.domain.money_text import money_of, parse_money
from gpurent.domain.trip_fields import FieldKind, TripField
from gpurent.locale import N_, _
from gpurent.locale.spans import parse_span

T = TypeVar("T")
MOST = 1_000_000
LONGEST = 100_000

EXPECTED: Mapping[FieldKind, str] = {
    FieldKind.TEXT: N_("a text is expected"),
    FieldKind.WORDS: N_("a shell line or a list of words is expected"),
    FieldKind.TEXTS: N_("a list of texts is expected"),
    FieldKind.PATH: N_("a path below the file's folder is expected"),
    FieldKind.PATHS: N_("a list of paths below the file's folder is expected"),
    FieldKind.PACKAGES: N_("a requirements file or a list of packages is expected"),
    FieldKind.SPAN: N_("a span of time is expected"),
    FieldKind.MOMENT: N_("a time or a span of time is expected"),
    FieldKind.MONEY: N_("an amount of money with its currency is expected"),
    FieldKind.NUMBER: N_("a whole number is expected"),
    FieldKind.PERCENT: N_("a whole number from 0 to 100 is expected"),
    FieldKind.FLAG: N_("true or false is expected"),
}


def value_of(field: TripField, value: object, now: datetime) -> object:
    """The model's value of one that stands in a TOML file. A `ValueError` without words means what `EXPECTED` says.

    ``now``: a time of the day is the next one after it.
    """
    if field.kind is FieldKind.MOMENT:
        return _moment(field, value, now)
    return _READ[field.kind](field, value)


def typed_value(field: TripField, text: str, now: datetime) -> object:
    """As `value_of`, of a text that was typed: one of several, where the field holds many."""
    return value_of(field, _as_toml(field, text), now)


def _as_toml(field: TripField, text: str) -> object:
    match field.kind:
        case FieldKind.NUMBER | FieldKind.PERCENT:
            number = text.strip().removesuffix("%") if field.kind is FieldKind.PERCENT else text.strip()
            return int(number) if re.fullmatch("[0-9]{1,9}", number) else text
        case FieldKind.TEXTS | FieldKind.PATHS:
            return [text]
        case _:
            return text


def _text(field: TripField, value: object) -> str:
    if not isinstance(value, str) or len(value) > LONGEST:
        raise ValueError
    if not all(letter.isprintable() or letter in "\n\t" for letter in value):
        raise ValueError
    if field.choices and value not in field.choices:
        raise ValueError(_("one of these is expected: {choices}").format(choices=", ".join(field.choices)))
    return value


def _texts(field: TripField, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError
    return tuple(_filled(_text(field, item)) for item in value)


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError(_("an empty text means nothing here"))
    return text


def _words(field: TripField, value: object) -> tuple[str, ...]:
    """A list stays as it is; a text is one shell line, split where nothing but words is in it."""
    if isinstance(value, list):
        words = tuple(_text(field, item) for item in value)
        if not words or not words[0].strip():
            raise ValueError
        return words
    line = _filled(_text(field, value))
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


def _path(field: TripField, value: object) -> str:
    return below(_text(field, value))


def _paths(field: TripField, value: object) -> tuple[str, ...]:
    return tuple(below(item) for item in _texts(field, value))


def _packages(field: TripField, value: object) -> str | tuple[str, ...]:
    if isinstance(value, list):
        found = _texts(field, value)
        if any(item.startswith("-") or "\n" in item for item in found):
            raise ValueError(_("options go into a requirements file"))
        return found
    return _path(field, value)


def _span(field: TripField, value: object) -> timedelta:
    return _own(parse_span, _text(field, value))


def _moment(field: TripField, value: object, now: datetime) -> timedelta | datetime:
    """A time without a zone is the user's own; one without a day is the next."""
    if isinstance(value, datetime):
        return _aware(value)
    text = _text(field, value).strip()
    try:
        return parse_span(text)
    except ValueError:
        return _own(lambda given: parse_moment(given, now), text)


def parse_moment(text: str, now: datetime) -> datetime:
    """``18:30`` (the next one after ``now``) or an ISO time; local unless it says its zone. Else a `ValueError`."""
    text = text.strip()
    if re.fullmatch(r"\d{1,2}:\d{2}", text):
        hour, minute = (int(part) for part in text.split(":"))
        found = now.astimezone().replace(hour=hour, minute=minute, second=0, microsecond=0)
        return (found if found > now else found + timedelta(days=1)).astimezone(UTC)
    return _aware(datetime.fromisoformat(text))


def _aware(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except (OverflowError, OSError):
        raise ValueError from None


def _money(field: TripField, value: object) -> Money:
    number, code = _own(parse_money, _text(field, value))
    if not code or not number:
        raise ValueError
    return money_of((number, code))


def _own(read: Callable[[str], T], text: str) -> T:
    """``read`` speaks to programmers; the person is told what was expected."""
    try:
        return read(text)
    except (ValueError, OverflowError):
        raise ValueError from None


def _number(field: TripField, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError
    if not field.least <= value <= MOST:
        raise ValueError(
            _("a whole number from {least} to {most} is expected").format(least=field.least, most=MOST)
        )
    return value


def _percent(field: TripField, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 100:
        raise ValueError
    return value


def _flag(field: TripField, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


_READ: Mapping[FieldKind, Callable[[TripField, object], object]] = {
    FieldKind.TEXT: _text,
    FieldKind.WORDS: _words,
    FieldKind.TEXTS: _texts,
    FieldKind.PATH: _path,
    FieldKind.PATHS: _paths,
    FieldKind.PACKAGES: _packages,
    FieldKind.SPAN: _span,
    FieldKind.MONEY: _money,
    FieldKind.NUMBER: _number,
    FieldKind.PERCENT: _percent,
    FieldKind.FLAG: _flag,
}
