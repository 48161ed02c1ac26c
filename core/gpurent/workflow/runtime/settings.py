"""The user's settings for core and plugins: environment first, then the file, then defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define

from gpurent.errors import UsageError
from gpurent.locale import _
from gpurent.roles.entries import InputField

if TYPE_CHECKING:
    from gpurent.domain.config_sections import ConfigKey

Sections = Mapping[str, Mapping[str, str]]


@define(eq=False)
class Settings:
    """``home`` is the data folder. ``sections``: ``config.toml`` as text by section and key; ``environment`` wins."""

    home: Path
    environment: Mapping[str, str]
    sections: Sections

    def get(self, section: str, key: str, default: str = "") -> str:
        value = self.environment.get(environment_variable(section, key))
        return value if value is not None else self.sections.get(section, {}).get(key, default)

    def get_plugin_settings(self, section: str, fields: tuple[InputField, ...]) -> Mapping[str, str]:
        """Return the declared fields of a plugin that have a value."""
        for field in fields:
            check_environment(self.environment, section, field)
        found = {field.name: self.get(section, field.name, field.default) for field in fields}
        return {name: value for name, value in found.items() if value}

    @property
    def user_home(self) -> Path:
        """The user's home folder, where other programs keep their files."""
        given = self.environment.get("HOME", "")
        return Path(given) if given else Path.home()


def check_environment(environment: Mapping[str, str], section: str, key: ConfigKey | InputField) -> None:
    """A variable with the former name or value of ``key`` would be ignored in silence: a `UsageError`."""
    variable = environment_variable(section, key.name)
    if key.previous_name and (old := environment_variable(section, key.previous_name)) in environment:
        raise UsageError(
            _("the environment variable {old} was renamed").format(old=old),
            hint=_("Use the new names: {names}").format(names=variable),
        )
    value = environment.get(variable, "")
    renamed = [word for word in value.replace(",", " ").split() if word in key.previous_values]
    if renamed:
        names = ", ".join(f"{word} → {key.previous_values[word]}" for word in renamed)
        raise UsageError(
            _("{variable} = {value} uses a former name").format(variable=variable, value=repr(value)),
            hint=_("Use the new names: {names}").format(names=names),
        )


def environment_variable(section: str, key: str) -> str:
    """Return the environment variable that overrides ``[section] key``: GPURENT_SECTION_KEY."""
    return f"GPURENT_{section}_{key}".upper().replace("-", "_").replace(".", "_")
