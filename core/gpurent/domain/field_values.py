"""Parsing of one field's value, from TOML or from typed text; a `ValueError` says what was expected."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import TypeVar

from gpurent.domain.field_kinds import FieldKind, TripField
from gpurent.domain.job_variables import parse_secret_name, parse_variable
from gpurent.domain.money import Currency, Money, UnitPrice
from gpurent.domain.money_text import KNOWN_CURRENCIES, make_money, parse_amount, parse_price
from gpurent.domain.offer import TrafficPrice
from gpurent.domain.result_paths import check_pattern
from gpurent.domain.wishes import parse_version
from gpurent.locale import N_, _, join_list
from gpurent.locale.durations import parse_duration

T = TypeVar("T")
MAX_NUMBER = 1_000_000
MAX_TEXT_LENGTH = 100_000

EXPECTED_MESSAGES: Mapping[FieldKind, str] = {
    FieldKind.TEXT: N_("expected text"),
    FieldKind.COMMAND: N_("expected a shell command or a list of words"),
    FieldKind.TEXT_LIST: N_("expected a list of texts"),
    FieldKind.PATH: N_("expected a relative path inside the folder"),
    FieldKind.PATH_LIST: N_("expected a list of relative paths inside the folder"),
    FieldKind.PATTERN_LIST: N_("expected a list of relative paths or patterns inside the folder"),
    FieldKind.PACKAGES: N_("expected a requirements file or a list of packages"),
    FieldKind.FILE: N_("expected a relative path inside the folder"),
    FieldKind.VARIABLE_LIST: N_("expected a list of variables NAME=VALUE"),
    FieldKind.SECRET_LIST: N_("expected a list of names of secrets"),
    FieldKind.DURATION: N_("expected a duration such as 2h30m"),
    FieldKind.TIME: N_("expected a time or a duration, such as 18:30 or 20h"),
    FieldKind.MONEY: N_("expected an amount of money with its currency, such as 20CNY"),
    FieldKind.NUMBER: N_("expected a whole number"),
    FieldKind.PERCENT: N_("expected a whole number from 0 to 100"),
    FieldKind.EXACT_PERCENT: N_("expected a percentage such as 99.5%"),
    FieldKind.PRICE: N_("expected a price such as 0.25USD/h"),
    FieldKind.TRAFFIC_PRICE: N_("expected a price such as 0.01USD/GB"),
    FieldKind.VERSION: N_("expected a version such as 12.4"),
    FieldKind.SIZE: N_("expected a size such as 1GiB or 500MB"),
    FieldKind.FLAG: N_("expected true or false"),
}


def parse_toml_value(field: TripField, value: object, now: datetime) -> object:
    """Convert a TOML value to the domain value; raises `ValueError` if it is invalid.

    An error without a message means: use the text in `EXPECTED_MESSAGES`. A time of day means its next occurrence after
    ``now``.
    """
    if field.kind is FieldKind.TIME:
        return _parse_time_or_duration(field, value, now)
    return _PARSERS[field.kind](field, value)


def parse_typed_value(field: TripField, text: str, now: datetime) -> object:
    """Parse a typed ``text`` as `parse_toml_value` does; for a list field, ``text`` is one item of the list."""
    return parse_toml_value(field, _to_toml_value(field, text), now)


def _to_toml_value(field: TripField, text: str) -> object:
    match field.kind:
        case FieldKind.NUMBER | FieldKind.PERCENT:
            number = text.strip().removesuffix("%") if field.kind is FieldKind.PERCENT else text.strip()
            return int(number) if re.fullmatch("[0-9]{1,9}", number) else text
        case (
            FieldKind.TEXT_LIST
            | FieldKind.PATH_LIST
            | FieldKind.PATTERN_LIST
            | FieldKind.VARIABLE_LIST
            | FieldKind.SECRET_LIST
        ):
            return [text]
        case _:
            return text


def _parse_text(field: TripField, value: object) -> str:
    if not isinstance(value, str) or len(value) > MAX_TEXT_LENGTH:
        raise ValueError
    if not all(letter.isprintable() or letter in "\n\t" for letter in value):
        raise ValueError
    if field.choices and value not in field.choices:
        raise ValueError(_("expected one of: {choices}").format(choices=join_list(field.choices)))
    return value


def _parse_texts(field: TripField, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError
    return tuple(_check_not_blank(_parse_text(field, item)) for item in value)


def _check_not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError(_("must not be empty"))
    return text


def _split_words(field: TripField, value: object) -> tuple[str, ...]:
    """Split a command into words. A list is returned unchanged; a string is split unless it uses shell syntax."""
    if isinstance(value, list):
        words = tuple(_parse_text(field, item) for item in value)
        if not words or not words[0].strip():
            raise ValueError
        return words
    line = _check_not_blank(_parse_text(field, value))
    if any(letter in line for letter in ";|&<>$`\n*?~#("):
        return (line,) if " " in line else (f"{line} ",)
    try:
        return tuple(shlex.split(line))
    except ValueError:
        raise ValueError(_("unclosed quotation mark")) from None


def parse_relative_path(text: str) -> str:
    """Normalize a path that stays inside its folder; any other path raises `ValueError`."""
    path = PurePosixPath(text)
    if not text.strip() or path.is_absolute() or ".." in path.parts or "\n" in text:
        raise ValueError(_("{name} is not inside the folder").format(name=text))
    return str(path)


def _parse_path(field: TripField, value: object) -> str:
    return parse_relative_path(_parse_text(field, value))


def _parse_paths(field: TripField, value: object) -> tuple[str, ...]:
    return tuple(parse_relative_path(item) for item in _parse_texts(field, value))


def _parse_patterns(field: TripField, value: object) -> tuple[str, ...]:
    paths = _parse_paths(field, value)
    for path in paths:
        check_pattern(path)
    return paths


def _parse_variables(field: TripField, value: object) -> tuple[str, ...]:
    return tuple(map(parse_variable, _parse_texts(field, value)))


def _parse_secret_names(field: TripField, value: object) -> tuple[str, ...]:
    return tuple(map(parse_secret_name, _parse_texts(field, value)))


_SIZE_FACTORS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3, "t": 1000**4}
_BINARY_SIZE_FACTORS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


def _parse_size(field: TripField, value: object) -> int:
    """Parse ``1GiB``, ``500MB``, ``0`` into bytes."""
    match = re.fullmatch(r"(\d{1,9})\s*(?:([kmgt])(i?))?b?", _parse_text(field, value).strip().lower())
    if match is None:
        raise ValueError
    factors = _BINARY_SIZE_FACTORS if match[3] else _SIZE_FACTORS
    return int(match[1]) * factors[match[2] or ""]


def _parse_packages(field: TripField, value: object) -> str | tuple[str, ...]:
    if isinstance(value, list):
        found = _parse_texts(field, value)
        if any(item.startswith("-") or "\n" in item for item in found):
            raise ValueError(_("pip options belong in a requirements file"))
        return found
    return _parse_path(field, value)


def _parse_duration(field: TripField, value: object) -> timedelta:
    return _parse_without_message(parse_duration, _parse_text(field, value))


def _parse_time_or_duration(field: TripField, value: object, now: datetime) -> timedelta | datetime:
    """Parse a duration or a time; local unless it has a time zone, and a time of day means its next occurrence."""
    if isinstance(value, datetime):
        return _to_utc(value)
    text = _parse_text(field, value).strip()
    try:
        return parse_duration(text)
    except ValueError:
        return _parse_without_message(lambda given: parse_time(given, now), text)


def parse_time(text: str, now: datetime) -> datetime:
    """Parse ``18:30`` (its next occurrence after ``now``) or an ISO time, local unless it has a time zone.

    Raises `ValueError` for anything else.
    """
    text = text.strip()
    if re.fullmatch(r"\d{1,2}:\d{2}", text):
        hour, minute = (int(part) for part in text.split(":"))
        return _find_next_occurrence(time(hour, minute), now)
    return _to_utc(datetime.fromisoformat(text))


def _find_next_occurrence(at: time, now: datetime) -> datetime:
    """Return when local clocks show ``at`` the next time, by the offset of that day, which changes twice a year.

    Of a time that they show twice, each counts; one that they skip is as long after midnight as on other days.
    """
    today = now.astimezone().date()
    for day in (today, today + timedelta(days=1)):
        local = datetime.combine(day, at)
        moments = sorted({local.replace(fold=fold).astimezone(UTC) for fold in (0, 1)})
        shown = [moment for moment in moments if moment.astimezone().replace(tzinfo=None) == local]
        for moment in shown or moments[-1:]:
            if moment > now:
                return moment
    raise ValueError(f"no such time: {at}")


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except (OverflowError, OSError):
        raise ValueError from None


def _parse_money(field: TripField, value: object) -> Money:
    number, code = _parse_without_message(parse_amount, _parse_text(field, value))
    if not code or not number:
        raise ValueError
    return make_money((number, code))


def _parse_without_message(read: Callable[[str], T], text: str) -> T:
    """Call ``read`` and drop the message of its error, which is meant for programmers, not for the user."""
    try:
        return read(text)
    except (ValueError, OverflowError):
        raise ValueError from None


def _parse_number(field: TripField, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError
    if not field.minimum <= value <= MAX_NUMBER:
        raise ValueError(
            _("expected a whole number from {minimum} to {maximum}").format(
                minimum=field.minimum, maximum=MAX_NUMBER
            )
        )
    return value


def _parse_percent(field: TripField, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= 100:
        raise ValueError
    return value


def _parse_exact_percent(field: TripField, value: object) -> Decimal:
    """Parse ``99.5%``; the sign may be missing. A number of TOML would be a float."""
    text = _parse_text(field, value).strip().removesuffix("%").rstrip()
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", text, re.ASCII) is None or Decimal(text) > 100:
        raise ValueError
    return Decimal(text)


def _parse_price(field: TripField, value: object) -> UnitPrice:
    found = _parse_without_message(parse_price, _parse_text(field, value))
    if not found.value:
        raise ValueError
    return found


def _parse_traffic_price(field: TripField, value: object) -> TrafficPrice:
    text = _parse_text(field, value).strip()
    number, code = _parse_without_message(parse_amount, re.sub(r"\s*/\s*GB$", "", text, flags=re.IGNORECASE))
    if not code:
        raise ValueError
    return TrafficPrice(
        upload=number, download=number, currency=KNOWN_CURRENCIES.get(code) or Currency(code, 8)
    )


def _parse_version(field: TripField, value: object) -> str:
    text = _parse_text(field, value).strip()
    if not parse_version(text):
        raise ValueError
    return text


def _parse_flag(field: TripField, value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError
    return value


_PARSERS: Mapping[FieldKind, Callable[[TripField, object], object]] = {
    FieldKind.TEXT: _parse_text,
    FieldKind.COMMAND: _split_words,
    FieldKind.TEXT_LIST: _parse_texts,
    FieldKind.PATH: _parse_path,
    FieldKind.PATH_LIST: _parse_paths,
    FieldKind.PATTERN_LIST: _parse_patterns,
    FieldKind.PACKAGES: _parse_packages,
    FieldKind.FILE: _parse_path,
    FieldKind.VARIABLE_LIST: _parse_variables,
    FieldKind.SECRET_LIST: _parse_secret_names,
    FieldKind.DURATION: _parse_duration,
    FieldKind.MONEY: _parse_money,
    FieldKind.NUMBER: _parse_number,
    FieldKind.PERCENT: _parse_percent,
    FieldKind.EXACT_PERCENT: _parse_exact_percent,
    FieldKind.PRICE: _parse_price,
    FieldKind.TRAFFIC_PRICE: _parse_traffic_price,
    FieldKind.VERSION: _parse_version,
    FieldKind.SIZE: _parse_size,
    FieldKind.FLAG: _parse_flag,
}
