"""Renames settings in `config.toml` once, in place: comments, order and everything else of the user's stay.

The table is what the declared sections say themselves: `ConfigKey.former_name` and ``new_values_by_former``.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from gpurent.domain.config_sections import ConfigKey, ConfigSection
from gpurent.errors import UsageError
from gpurent.infra.config.config_file import find_section
from gpurent.infra.config.toml_file import TomlFile, find_line, read_bytes
from gpurent.infra.platform.system import replace_file, write_new_private_file
from gpurent.locale import _, join_list

log = logging.getLogger(__name__)
_NEXT_ENTRY = re.compile(r"""\s*(\[|("[^"]*"|'[^']*'|[A-Za-z0-9_.\-]+)\s*=)""")


@frozen
class Rename:
    """``[section] old`` is called ``key.name`` now, or holds a value that is called differently now."""

    section: str
    old: str
    key: ConfigKey

    def __str__(self) -> str:
        values = self.key.new_values_by_former.items()
        changed = [f'"{before}" → "{after}"' for before, after in values] if self.old == self.key.name else []
        return f"[{self.section}] {self.old} → {', '.join(changed) or self.key.name}"


def migrate_config(path: Path, declared: Sequence[ConfigSection]) -> bool:
    """Rename what has a new name; False when nothing had. What cannot be rewritten is a `UsageError` that names it.

    The file is replaced in one move after it was copied to ``config.toml.bak-0.1`` beside it. Processes that do it at
    the same time write the same.
    """
    try:
        before = read_bytes(path)  # once: another process may replace the file at any moment
    except FileNotFoundError:
        return False
    file = TomlFile.decode(path, before, parse_float=str)
    renames = list(find_renames(file.values, declared))
    if not renames:
        return False
    after = _rename_in_file(before, renames)
    if after is None:
        raise _refusal(file, renames, _("it is written in a form that cannot be changed safely"))
    try:
        backup = _replace(path, before, after)
    except OSError as error:
        raise _refusal(file, renames, error.strerror or str(error)) from None
    log.warning(
        _("%s: renamed settings (%s); the file as it was: %s"),
        path,
        ", ".join(str(rename) for rename in renames),
        backup,
    )
    return True


def _rename_in_file(data: bytes, renames: Sequence[Rename]) -> bytes | None:
    """The file with its new names; None when it does not say exactly the same as before under them."""
    mark, text = ("\ufeff" if data.startswith("\ufeff".encode()) else ""), data.decode("utf-8-sig")
    values = tomllib.loads(text)
    for rename in renames:
        text = _rename_in_text(text, rename)
        _rename_values(values, rename)
    try:
        return (mark + text).encode() if tomllib.loads(text) == values else None
    except tomllib.TOMLDecodeError:
        return None


def find_renames(values: Mapping[str, Any], declared: Sequence[ConfigSection]) -> Iterator[Rename]:
    """What stands in ``values`` under a former name, or with a former value."""
    every = {section.name: section for section in declared}
    for written, table in values.items():
        section = find_section(every, written)
        if section is not None and isinstance(table, dict):
            parts = {f"{written}.{part}": value for part, value in table.items() if isinstance(value, dict)}
            for name, inside in {written: table, **parts}.items():
                yield from _find_in_table(name, inside, section.keys)


def _find_in_table(name: str, table: Mapping[str, Any], keys: Sequence[ConfigKey]) -> Iterator[Rename]:
    names = {key.name for key in keys}
    for key in keys:
        old = key.former_name
        if old and old not in names and old in table and not isinstance(table[old], dict):
            yield Rename(name, old, key)
        value = table.get(key.name)
        if value is not None and _rename_value(value, key) != value:
            yield Rename(name, key.name, key)


def _rename_values(values: dict[str, Any], rename: Rename) -> None:
    """A key that is there under both names would be there twice in the file, which is no TOML."""
    section, _mark, part = rename.section.partition(".")
    table = values[section][part] if part else values[section]
    table[rename.key.name] = _rename_value(table.pop(rename.old), rename.key)


def _rename_value(value: Any, key: ConfigKey) -> Any:
    if isinstance(value, list):
        return [_rename_value(item, key) for item in value]
    if not isinstance(value, str) or not key.new_values_by_former:
        return value
    return re.sub(r"[^\s,]+", lambda word: key.new_values_by_former.get(word[0], word[0]), value)


def _rename_in_text(text: str, rename: Rename) -> str:
    """The key on its line, and its values from there to the next key. Wrong guesses are found by the comparison."""
    number = find_line(text, rename.section, rename.old)
    lines = text.split("\n")
    if not number:
        return text
    first = number - 1
    end = next((n for n in range(number, len(lines)) if _NEXT_ENTRY.match(lines[n])), len(lines))
    key, old = rename.key, re.escape(rename.old)
    lines[first] = re.sub(rf"""(?<![\w-]){old}(?=["']?\s*=)""", key.name, lines[first], count=1)
    for before, after in key.new_values_by_former.items():
        for n in range(first, end):
            start = lines[n].find("=") + 1 if n == first else 0
            value, mark, comment = lines[n][start:].partition("#")
            value = re.sub(rf"(?<![\w-]){re.escape(before)}(?![\w-])", after, value)
            lines[n] = lines[n][:start] + value + mark + comment
    return "\n".join(lines)


def _replace(path: Path, before: bytes, after: bytes) -> Path:
    """Where the backup lies. Private, since a settings file may hold passwords."""
    target = Path(os.path.realpath(path))
    mode = stat.S_IMODE(target.stat().st_mode)
    if not mode & stat.S_IWUSR:
        raise PermissionError(0, _("the file is read-only"))
    backup = _back_up(path, before)
    replace_file(target, after, mode)
    return backup


def _back_up(path: Path, data: bytes) -> Path:
    """Never over an earlier one: that would be lost when old names come back into the file."""
    for number in range(1, 100):
        backup = path.with_name(f"{path.name}.bak-0.1" + (f".{number}" if number > 1 else ""))
        try:
            write_new_private_file(backup, data)
        except FileExistsError:
            if backup.read_bytes() != data:
                continue
        return backup
    raise FileExistsError(0, _("there are too many backups"))


def _refusal(file: TomlFile, renames: Sequence[Rename], why: str) -> UsageError:
    first = renames[0]
    return UsageError(
        _("{where}: settings were renamed, and the file cannot be rewritten: {why}").format(
            where=file.format_position(first.section, first.old), why=why
        ),
        hint=_("Use: {names}").format(names=join_list(str(rename) for rename in renames)),
    )
