"""Random changes of good inputs (text, bytes, JSON documents), as a hostile or a broken service would send them."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random
from typing import Any

ESCAPES = (
    "\x1b[2J",
    "\x1b]0;title\x07",
    "\x1b]52;c;Y2FuYXJ5\x07",
    "\x1b[31m",
    "\x9b2J",
    "\x1bP+q544e\x1b\\",
    "\u202e",
    "\u2066",
    "\u200b",
    "\ufeff",
    "\u2028",
    "\0",
    "\x07",
    "\b\b\b",
    "\r",
    "\x7f",
    "\x85",
)
OPTIONS = ("-oProxyCommand=id", " -o ProxyCommand=id ", "--", "-F/dev/null", " -lroot", "-p", " -p -oX")
SHELL = (
    "$(id)",
    "`id`",
    "; id",
    "|sh",
    "&&id",
    "%h",
    "~",
    "*",
    "{a,b}",
    "\\",
    '"',
    "'",
    "#",
    "../..",
    "/etc/passwd",
)
ODD_LETTERS = (
    "\uff0d",
    "\uff12",
    "\uff20",
    "\u0660",
    "\u0430",
    "\u00ad",
    "\u00a0",
    "\u3000",
    "\U0001f600",
    "\ud800",
)
NUMBERS = (
    "-1",
    "1e999",
    "1e99",
    "NaN",
    "Infinity",
    "0x" + "f" * 40,
    "9" * 60,
    "9" * 5000,
    "1,23",
    "1.234,5",
    "٣",
    "",
)
PIECES = (
    *ESCAPES,
    *OPTIONS,
    *SHELL,
    *ODD_LETTERS,
    *NUMBERS,
    "\n",
    "\t",
    "<",
    ">",
    "&#27;",
    "&#x202e;",
    "=?utf-8?b?",
)
ODD_VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        2**64,
        10**30,
        Decimal("0.5"),
        Decimal("1E+999999"),
        Decimal("-0"),
    ),
    *("", " ", [], {}, [[]], [None], {"": None}, [1, [2, [3]]], "x" * 5000, *PIECES),
    *("9999-12-31T23:59:59+00:00", "0001-01-01T00:00:00+14:00", "2026-13-01", "2026-01-01T00:00:00"),
)
_HEX = re.compile("0x(?:[0-9a-fA-F]{2})*")
_DEEP: Any = []
for _depth in range(100):
    _DEEP = [_DEEP]


def change_text(random: Random, text: str, pieces: Sequence[str] = PIECES, most: int = 3) -> str:
    """Return ``text`` with up to ``most`` pieces inserted, parts removed, doubled, moved or replaced."""
    for _change in range(random.randint(1, most)):
        at, end = sorted((random.randint(0, len(text)), random.randint(0, len(text))))
        kind = random.randrange(6)
        if kind < 3:
            text = text[:at] + random.choice(pieces) + text[at + random.choice((0, 0, 1, 2)) :]
        elif kind == 3:
            end = min(end, at + 30)
            text = text[:at] + text[end:]
        elif kind == 4:
            text = text[:end] + text[at:]
        else:
            text = text[:at] + text[at : at + 1].swapcase() + text[at + 1 :]
        text = text[:200_000]
    return text


def change_bytes(random: Random, data: bytes) -> bytes:
    """Return ``data`` with a few bytes replaced, removed, inserted or doubled."""
    for _change in range(random.randint(1, 4)):
        at = random.randint(0, len(data))
        kind = random.randrange(4)
        if kind == 0:
            data = data[:at] + random.randbytes(random.randint(1, 6)) + data[at:]
        elif kind == 1:
            data = data[:at] + data[at + random.randint(1, 60) :]
        elif kind == 2:
            data = data[:at] + random.randbytes(1) + data[at + 1 :]
        else:
            data = data[: at + 40] + data[at:]
    return data


def change_document(random: Random, document: Any, most: int = 3) -> Any:
    """Return a copy of a JSON ``document`` with up to ``most`` values changed, removed, renamed or repeated."""
    found = copy.deepcopy(document)
    for _change in range(random.choice((1, 1, 1, most))):
        places = _list_places(found)
        if not places or random.random() < 0.02:
            return _choose_value(random, found)
        holder, name = random.choice(places)
        random.choice(_CHANGES)(random, holder, name)
    return found


def _list_places(document: Any) -> list[tuple[Any, Any]]:
    """Return all values of a document as the object or list that has them, and their name or number in it."""
    found: list[tuple[Any, Any]] = []
    rest = [document]
    while rest:
        one = rest.pop()
        names = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        found += [(one, name) for name in names]
        rest += [one[name] for name in names]
    return found


def _choose_value(random: Random, value: Any) -> Any:
    if isinstance(value, str) and _HEX.fullmatch(value) and random.random() < 0.6:
        return "0x" + change_bytes(random, bytes.fromhex(value[2:])).hex()
    if isinstance(value, str) and random.random() < 0.5:
        return change_text(random, value)
    if isinstance(value, int) and random.random() < 0.3:
        return random.choice((str(value), Decimal(value), [value], -value, value * 10**12))
    return copy.deepcopy(_DEEP if random.random() < 0.01 else random.choice(ODD_VALUES))


def _replace(random: Random, holder: Any, name: Any) -> None:
    holder[name] = _choose_value(random, holder[name])


def _remove(random: Random, holder: Any, name: Any) -> None:
    del holder[name]


def _rename(random: Random, holder: Any, name: Any) -> None:
    if isinstance(holder, dict):
        holder[change_text(random, str(name))] = holder.pop(name)
    else:
        holder.append(copy.deepcopy(holder[name]))


def _wrap(random: Random, holder: Any, name: Any) -> None:
    holder[name] = random.choice(([holder[name]], {"x": holder[name]}, str(holder[name])))


_CHANGES: tuple[Callable[[Random, Any, Any], None], ...] = (
    _replace,
    _replace,
    _replace,
    _remove,
    _rename,
    _wrap,
)
