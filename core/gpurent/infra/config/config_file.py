"""Reads `config.toml`; anything unknown or invalid in it is a `UsageError` with its line and a suggestion."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from gpurent.domain.config_sections import ConfigKey, ConfigSection
from gpurent.domain.provider_names import get_base_name, is_account_name
from gpurent.domain.setting_checks import find_value_problem
from gpurent.errors import UsageError
from gpurent.infra.config.toml_file import TomlFile, suggest_name
from gpurent.locale import _

Sections = Mapping[str, Mapping[str, str]]
# Returns the names allowed for subsections, given what they are named after: "provider", "lease" or "trip".
Names = Callable[[str], Sequence[str]]


def read_config(path: Path, declared: Callable[[], Sequence[ConfigSection]], names: Names) -> Sections:
    """Read the sections of the file, and each ``[section.part]``, as text; a missing file is an empty one.

    Decimal numbers stay as typed, dates become ISO, a list of strings is joined with spaces.
    """
    try:
        file = TomlFile.read(path, parse_float=str)
    except FileNotFoundError:
        return {}
    return parse_config(file, declared(), names)


def parse_config(file: TomlFile, declared: Sequence[ConfigSection], names: Names) -> Sections:
    """As `read_config`, of a ``file`` that was read with decimal numbers as text."""
    reader = _ConfigReader(file, {section.name: section for section in declared}, names)
    return {name: dict(reader.parse_section(name, values)) for name, values in reader.iter_sections()}


def find_key(section: ConfigSection, name: str) -> ConfigKey | None:
    """Return what is declared of the key ``name``; None if nothing is."""
    for key in section.keys:
        if key.name == name:
            return key
    pattern = section.key_pattern
    return pattern if pattern is not None and re.fullmatch(pattern.name, name) else None


class _ConfigReader:
    def __init__(self, file: TomlFile, declared: Mapping[str, ConfigSection], names: Names) -> None:
        self._file, self._declared, self._list_part_names = file, declared, names

    def iter_sections(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield each section, and each subsection under the name ``section.part``."""
        for name, values in self._file.values.items():
            if not isinstance(values, dict):
                text = _("{path}: {section!r} must be in a section")
                raise UsageError(
                    text.format(path=self._file.format_position("", name), section=name),
                    hint=self._home_of(name),
                )
            if find_section(self._declared, name) is None:
                raise UsageError(
                    _("{where}: no such section: [{section}]").format(
                        where=self._file.format_position(name, ""), section=name
                    ),
                    hint=suggest_name(name, sorted(self._declared)),
                )
            yield name, {key: value for key, value in values.items() if not isinstance(value, dict)}
            for part, value in values.items():
                if isinstance(value, dict):
                    self._check_part(self._get_section(name), part)
                    yield f"{name}.{part}", value

    def _get_section(self, name: str) -> ConfigSection:
        found = find_section(self._declared, name)
        if found is None:
            raise LookupError(name)
        return found

    def _home_of(self, name: str) -> str:
        """Return a hint on where a top-level key or an unknown section belongs."""
        if name in self._declared:
            return f"[{name}]"
        keyed = [section for section in self._declared.values() if name in {key.name for key in section.keys}]
        return "\n".join(f"[{section.name}]\n{name} = …" for section in keyed) or suggest_name(
            name, sorted(self._declared)
        )

    def _check_part(self, section: ConfigSection, part: str) -> None:
        if not section.part_kinds:
            raise self._file.unknown_key_error(section.name, part, [key.name for key in section.keys])
        known = [name for kind in section.part_kinds for name in self._list_part_names(kind)]
        if part not in known and not (is_account_name(part) and get_base_name(part) in known):
            raise UsageError(
                _("{where}: [{section}.{part}] does not name a {kinds}").format(
                    where=self._file.format_position(f"{section.name}.{part}", ""),
                    section=section.name,
                    part=part,
                    kinds="/".join(_(kind) for kind in section.part_kinds),
                ),
                hint=suggest_name(part, known),
            )

    def parse_section(self, name: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        section = self._get_section(name.partition(".")[0])
        for key, value in values.items():
            known = find_key(section, key)
            if known is None:
                raise self._file.unknown_key_error(name, key, [key.name for key in section.keys])
            text = _value_text(value)
            refusal = _find_value_problem(known, text)
            if text is None or refusal:
                example = known.example if "=" in known.example else f"{known.name} = {known.example}"
                raise self._file.wrong_value_error(name, key, refusal, example)
            yield key, text


def find_section(declared: Mapping[str, ConfigSection], name: str) -> ConfigSection | None:
    """Return what is declared of the section ``name``, which may be that of an account; None if nothing is."""
    found = declared.get(name)
    if found is None and is_account_name(name):
        base = declared.get(get_base_name(name))
        return base if base is not None and base.has_accounts else None
    return found


def _value_text(value: object) -> str | None:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return " ".join(value)
    return str(value) if isinstance(value, str | int) else None


def _find_value_problem(key: ConfigKey, text: str | None) -> str:
    """Return what is wrong with ``text``; empty if it is allowed."""
    if text is None:
        return _("expected text, a list of texts, a number, a date, or true or false")
    return find_value_problem(key.check, text)
