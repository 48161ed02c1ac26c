"""What the value of a setting may be. A check takes the text, and raises `ValueError` if it is not allowed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from gpurent.locale import _

if TYPE_CHECKING:
    from decimal import Decimal

_AMOUNT = re.compile(r"\d{1,30}(?:\.\d{1,30})?", re.ASCII)
_DECLARED_PRICE = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]{0,60})\s*[\s=:]\s*(?P<price>\d{1,9}(?:\.\d{1,9})?)", re.ASCII
)


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a check that accepts only ``choices``, which are in lower case; the text may be in any case."""

    def check(text: str) -> str:
        if text.strip().lower() not in choices:
            raise ValueError(", ".join(choices))
        return text

    return check


def integer_between(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a check that accepts a whole number from ``minimum`` to ``maximum``."""

    def check(text: str) -> int:
        from gpurent.domain.foreign_numbers import (
            parse_foreign_integer,  # plugins declare checks in every command
        )

        number = parse_foreign_integer(text)
        if not minimum <= number <= maximum:
            raise ValueError(f"{minimum} - {maximum}")
        return number

    return check


def check_amount_of(code: str) -> Callable[[str], object]:
    """Return a check that accepts an amount such as 12.50, which ``code`` may follow."""

    def check(text: str) -> object:
        if not _AMOUNT.fullmatch(text.strip().removesuffix(code).rstrip()):
            raise ValueError
        return text

    return check


def parse_declared_prices(text: str) -> Mapping[str, Decimal]:
    """Parse ``v-48g 2.98, H100 9.9``: what the user says that each thing costs, by its name.

    Raises `ValueError` for any other text, and for a price of 0.
    """
    from decimal import Decimal

    found = {}
    for part in filter(None, (part.strip() for part in re.split(r"[,;\n]", text))):
        match = _DECLARED_PRICE.fullmatch(part)
        price = Decimal(match["price"]) if match is not None else Decimal(0)
        if match is None or not price:
            raise ValueError(part)
        found[match["name"]] = price
    return found


def check_web_url(text: str) -> str:
    """Accept an absolute URL of http or https."""
    from urllib.parse import urlsplit

    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError
    return text


def find_value_problem(check: Callable[[str], object], text: str) -> str:
    """Return what is wrong with ``text``, for people; empty if ``check`` accepts it."""
    try:
        check(text)
    except (ValueError, OverflowError) as error:
        said = str(error)
        if said and text not in said and len(said) < 200:
            return _("expected one of: {choices}").format(choices=said)
        return _("invalid value: {text}").format(text=repr(text)[:60])
    return ""
