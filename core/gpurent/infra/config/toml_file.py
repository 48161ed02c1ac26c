"""One TOML file of the user's, with the line of whatever is wrong in it."""

from __future__ import annotations

import re
import stat
import tomllib
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from gpurent.errors import UsageError
from gpurent.locale import _

MAX_FILE_BYTES = 1 << 20
_TABLE_HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*("[^"]*"|'[^']*'|[A-Za-z0-9_.\- ]+?)\s*=""")


class TomlFile:
    """``text`` lies at ``path``. Everything wrong is a `UsageError` that names the line and what to write."""

    def __init__(self, path: Path, text: str, parse_float: Callable[[str], Any] = float) -> None:
        self.path = path
        self._text = text.removeprefix("\ufeff")  # some editors put a mark before it
        try:
            self.values: dict[str, Any] = tomllib.loads(self._text, parse_float=parse_float)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(_("{path} is not valid TOML: {why}").format(path=path, why=error)) from None
        except (ValueError, RecursionError):
            # An impossible date, a number of ten thousand digits, a thousand brackets.
            raise UsageError(_("{path} is not valid TOML").format(path=path)) from None

    @classmethod
    def read(cls, path: Path, parse_float: Callable[[str], Any] = float) -> TomlFile:
        """The file at ``path``; missing is a `FileNotFoundError`."""
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, a device has no end
                raise UsageError(_("{path} is not a plain file").format(path=path))
            if found.st_size > MAX_FILE_BYTES:
                raise UsageError(_("{path} is too large for a settings file").format(path=path))
            return cls(path, path.read_text("utf-8"), parse_float)
        except FileNotFoundError:
            raise
        except UnicodeDecodeError:
            raise UsageError(_("{path} is not UTF-8 text").format(path=path)) from None
        except OSError as error:
            raise UsageError(
                _("{path} cannot be read: {why}").format(path=path, why=error.strerror)
            ) from None

    def unknown_key_error(self, table: str, name: str, known: Sequence[str]) -> UsageError:
        """``name`` is no key of ``table`` (empty: of the top)."""
        where = _("[{table}] has no key {key}") if table else _("there is no key {key}")
        return UsageError(
            f"{self.format_position(table, name)}: {where.format(table=table, key=repr(name)[:60])}",
            hint=suggest_name(name, known),
        )

    def wrong_value_error(self, table: str, name: str, expected: str, example: str) -> UsageError:
        full = f"{table}.{name}" if table else name
        return UsageError(
            f"{self.format_position(table, name)}: {full}: {expected}",
            hint=_("Write it so: {example}").format(example=example),
        )

    def format_position(self, table: str, name: str) -> str:
        line = find_line(self._text, table, name)
        return f"{self.path}, " + _("line {number}").format(number=line) if line else str(self.path)


def suggest_name(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1, 0.5)
    if near:
        return _("Did you mean {name}?").format(name=near[0])
    return _("There are: {every}").format(every=", ".join(known))


def find_line(text: str, table: str, name: str) -> int:
    """The line on which a key is written, from one; 0 where it cannot be found (quoted or dotted in an odd way)."""
    wanted = f"{table}.{name}" if table and name else table or name
    at, fallback = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if header := _TABLE_HEADER.match(line):
            at = _unquote_key(header[1])
            if _is_within(at, wanted):
                return number
            continue
        if match := _KEY.match(line):
            found = f"{at}.{_unquote_key(match[1])}" if at else _unquote_key(match[1])
            if _is_within(found, wanted):
                return number
            if table and found == table:
                fallback = number  # an inline table
    return fallback


def _is_within(found: str, wanted: str) -> bool:
    """A table may only be there by a key or a table inside it."""
    return found == wanted or found.startswith(f"{wanted}.")


def _unquote_key(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))
