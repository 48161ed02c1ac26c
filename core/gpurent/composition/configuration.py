"""The user's settings as a whole, for `gpurent config`: what is set where, and the editor of `config.toml`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from gpurent.composition.config_sections import declared_sections
from gpurent.composition.state import make_part_names
from gpurent.domain.config_sections import ConfigSection
from gpurent.domain.provider_names import get_base_name
from gpurent.infra.config.config_editor import ConfigEditor as ConfigEditor, SettingName as SettingName
from gpurent.workflow.runtime.settings import environment_variable_name

if TYPE_CHECKING:
    from gpurent.infra.registry.registry import EntryPointRegistry

CONFIG_FILE = "config.toml"


@frozen(kw_only=True)
class SettingRow:
    """One setting; ``value`` None: it is not set. ``source``: the environment variable that sets it, or the file."""

    name: str
    value: str | None
    source: str
    example: str
    is_secret: bool


def make_config_editor(registry: EntryPointRegistry, home: Path) -> ConfigEditor:
    return ConfigEditor(
        home / CONFIG_FILE, declared_sections(registry.with_accounts(())), make_part_names(registry, home)
    )


def list_settings(editor: ConfigEditor, environment: Mapping[str, str]) -> list[SettingRow]:
    """Return every setting that is declared or set, each section's together; raises `UsageError` for a wrong file."""
    sections = editor.read_sections()
    names = dict.fromkeys(_iter_names(editor.declared, sections))
    return [find_setting(editor, name, sections, environment) for name in names]


def _iter_names(
    declared: Sequence[ConfigSection], sections: Mapping[str, Mapping[str, str]]
) -> Iterator[SettingName]:
    for section in declared:
        yield from (SettingName(section.name, "", key.name) for key in section.keys)
        for table, values in sections.items():
            head, _dot, part = table.partition(".")
            if head == section.name or get_base_name(head) == section.name:
                yield from (SettingName(head, part, key) for key in values)


def find_setting(
    editor: ConfigEditor,
    name: SettingName,
    sections: Mapping[str, Mapping[str, str]],
    environment: Mapping[str, str],
) -> SettingRow:
    """Return one setting, by the environment first, then the file."""
    key = editor.find_key(name)
    variable = environment_variable_name(name.table, name.key)
    value, source = environment.get(variable), variable
    if value is None:
        value, source = sections.get(name.table, {}).get(name.key), CONFIG_FILE
    return SettingRow(
        name=str(name),
        value=value,
        source=source if value is not None else "",
        example=key.example,
        is_secret=key.is_secret,
    )
