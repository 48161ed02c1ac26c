"""A TOML file of the user's, whose errors name the line."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

from gpurent.errors import UsageError
from gpurent.infra.platform.system import find_file_owner, open_settings_file
from gpurent.locale import _, join_list
from gpurent.locale.foreign_text import describe_error, quote_text

MAX_FILE_BYTES = 1 << 20
_TABLE_HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"""\s*("[^"]*"|'[^']*'|[A-Za-z0-9_.\- ]+?)\s*=""")


def read_bytes(path: Path) -> bytes:
    """Read a settings file; raises `FileNotFoundError` if it does not exist, `UsageError` if it cannot be one."""
    return read_with_owner(path)[0]


def read_with_owner(path: Path) -> tuple[bytes, int]:
    """As `read_bytes`, with the number of the user whose file it is."""
    try:
        with os.fdopen(open_settings_file(path), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):  # a device has no end
                raise UsageError(_("{path} is not a regular file").format(path=path))
            if found.st_size > MAX_FILE_BYTES:
                raise UsageError(_("{path} is too large for a settings file").format(path=path))
            return file.read(MAX_FILE_BYTES), find_file_owner(file.fileno())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(
            _("{path} cannot be read: {why}").format(path=path, why=describe_error(error))
        ) from None


class TomlFile:
    """The file at ``path`` with the content ``text``. Errors are `UsageError`s that name the line and what to write."""

    def __init__(self, path: Path, text: str, parse_float: Callable[[str], Any] = float) -> None:
        self.path = path
        self._text = text.removeprefix("\ufeff")  # some editors write a byte order mark
        try:
            self.values: dict[str, Any] = tomllib.loads(self._text, parse_float=parse_float)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(
                _("{path} is not valid TOML: {why}").format(path=path, why=quote_text(str(error)))
            ) from None
        except (ValueError, RecursionError):
            # An impossible date, a number with ten thousand digits, or a thousand nested brackets.
            raise UsageError(_("{path} is not valid TOML").format(path=path)) from None

    @classmethod
    def read(cls, path: Path, parse_float: Callable[[str], Any] = float) -> TomlFile:
        """Read the file at ``path``; raises `FileNotFoundError` if it does not exist."""
        return cls.decode(path, read_bytes(path), parse_float)

    @classmethod
    def decode(cls, path: Path, data: bytes, parse_float: Callable[[str], Any] = float) -> TomlFile:
        """The file at ``path`` with the content ``data``."""
        try:
            text = TextIOWrapper(BytesIO(data), "utf-8").read()  # any kind of line end
        except UnicodeDecodeError:
            raise UsageError(_("{path} is not UTF-8 text").format(path=path)) from None
        return cls(path, text, parse_float)

    def unknown_key_error(self, table: str, name: str, known: Sequence[str]) -> UsageError:
        """Make the error for an unknown key ``name`` in ``table`` (empty: at the top level)."""
        where = _("unknown key {key} in [{table}]") if table else _("unknown key {key}")
        return UsageError(
            f"{self.format_position(table, name)}: {where.format(table=table, key=repr(name)[:60])}",
            hint=suggest_name(name, known),
        )

    def wrong_value_error(self, table: str, name: str, expected: str, example: str) -> UsageError:
        full = f"{table}.{name}" if table else name
        return UsageError(
            f"{self.format_position(table, name)}: {full}: {expected}",
            hint=_("Write it like this: {example}").format(example=example),
        )

    def format_position(self, table: str, name: str) -> str:
        line = find_line(self._text, table, name)
        return f"{self.path}, " + _("line {number}").format(number=line) if line else str(self.path)


def suggest_name(name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, 1, 0.5)
    if near:
        return _("Did you mean {name}?").format(name=near[0])
    return _("Available: {every}").format(every=join_list(known))


def find_line(text: str, table: str, name: str) -> int:
    """Return the line number of a key, from 1; 0 if it cannot be found (e.g. because of unusual quoting)."""
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
                fallback = number  # it is in an inline table
    return fallback


def _is_within(found: str, wanted: str) -> bool:
    """Return whether ``found`` is ``wanted`` or inside it: a table may exist only through its keys."""
    return found == wanted or found.startswith(f"{wanted}.")


def _unquote_key(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))
