"""Finds and reads `gpurent.toml`. Whatever is wrong in it is a `UsageError` that names the line and what to write."""

from __future__ import annotations

import os
import re
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from gpurent.domain.project import FILE, Key, Project, keys, tables
from gpurent.errors import UsageError
from gpurent.infra.config.values import EXPECTED, value_of
from gpurent.locale import _

LARGEST = 1 << 20
_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_NAME = re.compile(r"""\s*("[^"]*"|'[^']*'|[A-Za-z0-9_.\- ]+?)\s*=""")


def find(start: Path, home: Path) -> Path | None:
    """The file in ``start`` or the nearest folder above it.

    The search ends at the filesystem's boundary, and below ``home``: a file in the home itself counts only there.
    Above ``start`` only files of the user's own count: in a folder like /tmp anybody could order for everybody.
    """
    here = start.resolve()
    home = home.resolve()
    device = here.stat().st_dev
    for folder in (here, *here.parents):
        if folder != here and (folder == home or folder.stat().st_dev != device):
            return None
        if _counts(folder / FILE, anybody=folder == here):
            return folder / FILE
    return None


def _counts(path: Path, *, anybody: bool) -> bool:
    try:
        return path.is_file() and (anybody or path.stat().st_uid == os.getuid())
    except OSError:
        return False


def read(path: Path) -> Project:
    """The project that ``path`` describes."""
    return _Reader(path, _text(path)).project()


def parse(text: str, path: Path) -> Project:
    """As `read`, of a text that is said to lie at ``path``."""
    return _Reader(path, text).project()


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > LARGEST:
            raise UsageError(_("{path} is too large for a project file").format(path=path))
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        raise UsageError(_("{path} is not UTF-8 text").format(path=path)) from None
    except OSError as error:
        raise UsageError(
            _("{path} cannot be read: {why}").format(path=path, why=error.strerror),
            hint=_("Write one with: gpurent init"),
        ) from None


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        self.path, self.text = path, text

    def project(self) -> Project:
        try:
            raw = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(_("{path} is not valid TOML: {why}").format(path=self.path, why=error)) from None
        except (ValueError, RecursionError):
            # An impossible date, a number of ten thousand digits, a thousand brackets.
            raise UsageError(_("{path} is not valid TOML").format(path=self.path)) from None
        own, inner = keys(), tables()
        given: dict[str, Any] = {"folder": str(self.path.resolve().parent)}
        for name, value in raw.items():
            if name in inner:
                given[name] = self._table(name, inner[name][1], value)
            else:
                self._known("", name, (*own, *inner))
                given[name] = self._value("", name, own[name], value)
        return Project(**given)

    def _table(self, table: str, kind: type[Any], raw: object) -> Any:
        if not isinstance(raw, dict):
            self._fail("", table, _("a table is expected"), f"[{table}]")
        known = keys(kind)
        given = {}
        for name, value in raw.items():
            self._known(table, name, tuple(known))
            given[name] = self._value(table, name, known[name], value)
        return kind(**given)

    def _known(self, table: str, name: str, known: tuple[str, ...]) -> None:
        if name in known:
            return
        where = _("[{table}] has no key {key}") if table else _("there is no key {key}")
        raise UsageError(
            f"{self._place(table, name)}: {where.format(table=table, key=repr(name)[:60])}",
            hint=_nearest(table, name, known),
        )

    def _value(self, table: str, name: str, key: Key, value: object) -> Any:
        try:
            return value_of(key, value)
        except ValueError as error:
            self._fail(table, name, str(error) or _(EXPECTED[key.kind]), f"{name} = {key.example}")

    def _fail(self, table: str, name: str, expected: str, example: str) -> NoReturn:
        full = f"{table}.{name}" if table else name
        raise UsageError(
            f"{self._place(table, name)}: {full}: {expected}",
            hint=_("Write it so: {example}").format(example=example),
        )

    def _place(self, table: str, name: str) -> str:
        line = line_of(self.text, table, name)
        return f"{self.path}, " + _("line {number}").format(number=line) if line else str(self.path)


def line_of(text: str, table: str, name: str) -> int:
    """The line on which a key is written, from one; 0 where it cannot be told (quoted or dotted in an odd way)."""
    wanted = f"{table}.{name}" if table else name
    at, fallback = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            at = _bare(header[1])
            if at == wanted or (not table and at.partition(".")[0] == name):
                return number
            continue
        if match := _NAME.match(line):
            found = f"{at}.{_bare(match[1])}" if at else _bare(match[1])
            if found == wanted:
                return number
            if table and found == table:
                fallback = number  # an inline table
    return fallback


def _bare(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))


def _nearest(table: str, name: str, known: tuple[str, ...]) -> str:
    if home := _homes(name) - {table}:
        return _("It belongs into [{table}].").format(table=min(home))
    if table and name in keys():
        return _("It belongs above the first table.")
    near = get_close_matches(name, known, 1, 0.5)
    if near:
        return _("Did you mean {name}?").format(name=near[0])
    return _("There are: {every}").format(every=", ".join(known))


def _homes(name: str) -> set[str]:
    return {table for table, (_about, kind) in tables().items() if name in keys(kind)}
