"""The user's settings as core and the plugins read them: environment, file, default."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from attrs import define

from gpurent.roles.entries import InputField

Sections = Mapping[str, Mapping[str, str]]


@define(eq=False)
class Settings:
    """``home``: the data folder. ``sections``: ``config.toml`` as text by section and key; ``environment`` wins."""

    home: Path
    environment: Mapping[str, str]
    sections: Sections

    def get(self, section: str, key: str, default: str = "") -> str:
        value = self.environment.get(environment_variable(section, key))
        return value if value is not None else self.sections.get(section, {}).get(key, default)

    def get_plugin_settings(self, section: str, fields: tuple[InputField, ...]) -> Mapping[str, str]:
        """Every declared field of a plugin that has a value."""
        found = {field.name: self.get(section, field.name, field.default) for field in fields}
        return {name: value for name, value in found.items() if value}

    @property
    def user_home(self) -> Path:
        """The user's home folder, where other programs keep what is theirs."""
        given = self.environment.get("HOME", "")
        return Path(given) if given else Path.home()


def environment_variable(section: str, key: str) -> str:
    """The environment variable that overrides ``[section] key``: GPURENT_SECTION_KEY."""
    return f"GPURENT_{section}_{key}".upper().replace("-", "_").replace(".", "_")
