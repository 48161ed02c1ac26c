"""Changes single settings in `config.toml`: what else stands in it stays as it is, comments and order too.

The new content is read back before it replaces the file in one move: it has to say what the old one said, but for the
one setting, and to be valid as a whole.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from gpurent.domain.config_sections import ConfigKey, ConfigSection
from gpurent.domain.setting_checks import find_value_problem
from gpurent.errors import StorageError, UsageError
from gpurent.infra.config.config_file import Names, Sections, find_key, find_section, parse_config
from gpurent.infra.config.toml_file import TomlFile, read_bytes, suggest_name
from gpurent.infra.platform.system import (
    make_private_folder,
    make_storage_error,
    write_private_file,
)
from gpurent.locale import _

if TYPE_CHECKING:
    from tomlkit import TOMLDocument

BYTE_ORDER_MARK = "\ufeff"
_ATTEMPTS = 5


@frozen
class SettingName:
    """``[section] key``, or ``[section.part] key``; typed with dots between."""

    section: str
    part: str
    key: str

    @property
    def table(self) -> str:
        """The name under which the sections are read: ``budget``, ``budget.acme``."""
        return f"{self.section}.{self.part}" if self.part else self.section

    def __str__(self) -> str:
        return f"{self.table}.{self.key}"


@frozen
class ConfigEditor:
    """Edits the file at ``path``; ``names`` gives the names that subsections may have."""

    path: Path
    declared: Sequence[ConfigSection]
    names: Names

    def parse_name(self, text: str) -> SettingName:
        """Parse ``budget.month``, ``budget.acme.month``; raises `UsageError` for a setting that does not exist."""
        words = text.split(".")
        if len(words) not in (2, 3) or not all(words):
            raise UsageError(
                _("{text} is not the name of a setting").format(text=repr(text)[:60]),
                hint=_("Write it like this: {example}").format(example="budget.month"),
            )
        found = SettingName(words[0], words[1] if len(words) == 3 else "", words[-1])
        self.find_key(found)
        return found

    def find_key(self, name: SettingName) -> ConfigKey:
        """Return what is declared of the setting; raises `UsageError` if there is no such setting."""
        every = {section.name: section for section in self.declared}
        section = find_section(every, name.section)
        if section is None:
            raise UsageError(
                _("no such section: [{section}]").format(section=name.section),
                hint=suggest_name(name.section, sorted(every)),
            )
        key = find_key(section, name.key)
        if key is None or (name.part and not section.part_kinds):
            raise UsageError(
                _("no such setting: {name}").format(name=name),
                hint=suggest_name(str(name), [f"{name.section}.{key.name}" for key in section.keys]),
            )
        return key

    def set_value(self, name: SettingName, text: str) -> None:
        """Set ``name`` to ``text``; raises `UsageError` if the value is not allowed, and then changes nothing."""
        key = self.find_key(name)
        problem = find_value_problem(key.check, text)
        if problem:
            example = key.example if "=" in key.example else f"{key.name} = {key.example}"
            raise UsageError(
                f"{name}: {problem}", hint=_("Write it like this: {example}").format(example=example)
            )
        self._change(name, lambda document: _set_in_document(document, name, key, text))

    def unset_value(self, name: SettingName) -> bool:
        """Remove ``name`` from the file, which leaves its default; return whether it was there."""
        return self._change(name, lambda document: _remove_from_document(document, name))

    def check_text(self, data: bytes) -> None:
        """Raise `UsageError` for the first mistake in ``data`` as the content of the file."""
        parse_config(TomlFile.decode(self.path, data, parse_float=str), self.declared, self.names)

    def read_sections(self) -> Sections:
        """Return what the file sets; raises `UsageError` for a mistake in it."""
        file = TomlFile.decode(self.path, self.read(), parse_float=str)
        return parse_config(file, self.declared, self.names)

    def read(self) -> bytes:
        """Return the content of the file, empty if there is none."""
        try:
            return read_bytes(self.path)
        except FileNotFoundError:
            return b""

    def replace(self, before: bytes, after: bytes) -> None:
        """Write ``after`` in place of ``before``; raises `UsageError` if it is wrong, or the file was changed since."""
        self.check_text(after)
        make_private_folder(self.path.parent)
        if self.read() != before:
            raise UsageError(
                _("{path} was changed by another program meanwhile").format(path=self.path),
                hint=_("Nothing was changed. Try again."),
            )
        target = self.path.resolve()  # a link stays, and what it leads to is replaced
        try:
            write_private_file(target, after)
        except OSError as error:
            raise make_storage_error(target, error) from error

    def _change(self, name: SettingName, change: Callable[[TOMLDocument], bool]) -> bool:
        """Apply ``change`` to the document and write it, unless it returns that nothing changed."""
        import tomlkit  # only needed to write a file

        for _attempt in range(_ATTEMPTS):
            before = self.read()
            text = before.decode("utf-8-sig")
            self.check_text(before)
            document = tomlkit.parse(text)
            if not change(document):
                return False
            mark = BYTE_ORDER_MARK if before.startswith(BYTE_ORDER_MARK.encode()) else ""
            after = tomlkit.dumps(document)
            if not _says_the_same(text, after, name):
                raise UsageError(
                    _("{path} is written in a form that cannot be changed safely").format(path=self.path),
                    hint=_("Change it yourself: gpurent config edit"),
                )
            if self.read() == before:
                self.replace(before, (mark + after).encode())
                return True
        raise StorageError(_("{path} is being changed all the time").format(path=self.path))


def _set_in_document(document: TOMLDocument, name: SettingName, key: ConfigKey, text: str) -> bool:
    import tomlkit

    table: Any = document
    for word in filter(None, (name.section, name.part)):
        if word not in table:
            table[word] = tomlkit.table()
        table = table[word]
    value = _make_item(key, text)
    old = table.get(name.key)
    if old is not None and hasattr(old, "trivia") and hasattr(value, "trivia"):
        value.trivia.comment_ws, value.trivia.comment = old.trivia.comment_ws, old.trivia.comment
    table[name.key] = value
    return True


def _make_item(key: ConfigKey, text: str) -> Any:
    """Return ``text`` in the form in which the example of the key stands: a number, a list of texts, or a text."""
    import tomlkit

    example = key.example.rpartition("=")[2].strip()
    if example.startswith("["):
        return tomlkit.item(text.replace(",", " ").split())
    if example[:1].isdigit() and re.fullmatch(r"(0|[1-9]\d*)(\.\d+)?", text):
        # A number keeps its digits, and is never a float on its way.
        return tomlkit.parse(f"x = {text}\n")["x"]
    return tomlkit.item(text)


def _remove_from_document(document: TOMLDocument, name: SettingName) -> bool:
    table: Any = document
    for word in filter(None, (name.section, name.part)):
        table = table.get(word)
        if table is None:
            return False
    if name.key not in table:
        return False
    del table[name.key]
    return True


def _says_the_same(before: str, after: str, name: SettingName) -> bool:
    """Return whether both texts have the same values, but for the one named; a table may be new, or empty now."""
    try:
        old, new = (_flatten(tomllib.loads(text, parse_float=str)) for text in (before, after))
    except tomllib.TOMLDecodeError:
        return False
    for values in (old, new):
        values.pop((*filter(None, (name.section, name.part)), name.key), None)
    return old == new


def _flatten(values: dict[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    found: dict[tuple[str, ...], Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            found |= _flatten(value, (*above, name))
        else:
            found[*above, name] = value
    return found
