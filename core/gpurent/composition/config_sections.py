"""All sections of `config.toml`: core's own, the guard's, and those of the plugins, from their declared fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from attrs import evolve

from gpurent.domain.config_sections import CORE_SECTIONS, ConfigKey, ConfigSection
from gpurent.infra.registry.account_entries import ACCOUNT_KINDS
from gpurent.roles.entries import AuthEntry, PluginEntry
from gpurent.workflow.timing.guard_policy import GUARD_SECTION

if TYPE_CHECKING:
    from gpurent.infra.registry.registry import EntryPointRegistry


def _allow_empty(check: Callable[[str], object]) -> Callable[[str], object]:
    """An empty setting is one that is not set."""
    return lambda text: check(text) if text else text


def declared_sections(registry: EntryPointRegistry) -> Sequence[ConfigSection]:
    """Return all sections; the fields that several entries declare under one name share a section."""
    sections = {section.name: section for section in (*CORE_SECTIONS, GUARD_SECTION)}
    for entry in registry.iter_entries():
        if not isinstance(entry, PluginEntry):
            continue
        for field in (*entry.settings, *(entry.fields if isinstance(entry, AuthEntry) else ())):
            known = sections.get(entry.name, ConfigSection(entry.name, ()))
            if field.name not in [key.name for key in known.keys]:
                key = ConfigKey(
                    field.name,
                    f'"{field.default or field.example or "…"}"',
                    _allow_empty(field.check),
                    former_name=field.former_name,
                    new_values_by_former=field.new_values_by_former,
                    is_secret=field.secret,
                )
                known = evolve(known, keys=(*known.keys, key))
            if isinstance(entry, ACCOUNT_KINDS):
                known = evolve(known, has_accounts=True)
            sections[entry.name] = known
    return list(sections.values())
