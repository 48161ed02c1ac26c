"""The user's settings for core and plugins: environment first, then the file, then defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define

from gpurent.domain.provider_names import ACCOUNT_MARK, get_base_name
from gpurent.domain.setting_checks import find_value_problem
from gpurent.errors import UsageError
from gpurent.locale import _, join_list
from gpurent.roles.entries import InputField

if TYPE_CHECKING:
    from gpurent.domain.config_sections import ConfigKey

Sections = Mapping[str, Mapping[str, str]]


@define(eq=False)
class Settings:
    """``sections``: ``config.toml`` as text by section and key; ``environment`` wins."""

    data_folder: Path
    environment: Mapping[str, str]
    sections: Sections

    def get(self, section: str, key: str, default: str = "") -> str:
        return self.get_first((section,), key, default)

    def get_first(self, sections: Sequence[str], key: str, default: str = "") -> str:
        """Return the value in the first of these sections that sets it, be it empty."""
        for section in sections:
            value = self.environment.get(environment_variable_name(section, key))
            if value is None:
                value = self.sections.get(section, {}).get(key)
            if value is not None:
                return value
        return default

    def get_plugin_settings(self, section: str, fields: tuple[InputField, ...]) -> Mapping[str, str]:
        """Return the declared settings of a plugin that have a value.

        What the section of an account (``vast@lab``) does not set is as in that of its provider.
        """
        return self._get_declared(tuple(dict.fromkeys((section, get_base_name(section)))), fields)

    def get_login_fields(self, section: str, fields: tuple[InputField, ...]) -> Mapping[str, str]:
        """Return the login fields that have a value in this very section: no account logs in as another one."""
        return self._get_declared((section,), fields)

    def _get_declared(self, sections: Sequence[str], fields: tuple[InputField, ...]) -> Mapping[str, str]:
        for setting in fields:
            for section in sections:
                reject_former_names(self.environment, section, setting)
                self._check_variable(section, setting)
        found = {setting.name: self.get_first(sections, setting.name, setting.default) for setting in fields}
        return {name: value for name, value in found.items() if value}

    def _check_variable(self, section: str, setting: InputField) -> None:
        """Raise `UsageError` if the environment has a value that is not allowed; `config.toml` is checked when read."""
        variable = environment_variable_name(section, setting.name)
        text = self.environment.get(variable, "")
        problem = find_value_problem(setting.check, text) if text else ""
        if problem:
            raise UsageError(f"{variable}: {problem}")

    @property
    def user_home(self) -> Path:
        """The user's home folder, where other programs keep their files."""
        given = self.environment.get("HOME", "")
        return Path(given) if given else Path.home()


def reject_former_names(
    environment: Mapping[str, str], section: str, setting: ConfigKey | InputField
) -> None:
    """Raise `UsageError` if an environment variable uses a former name or value of ``setting``.

    It would otherwise be ignored silently.
    """
    variable = environment_variable_name(section, setting.name)
    if (
        setting.former_name
        and (old := environment_variable_name(section, setting.former_name)) in environment
    ):
        raise UsageError(
            _("the environment variable {old} was renamed").format(old=old),
            hint=_("Use: {names}").format(names=variable),
        )
    new_values = setting.new_values_by_former
    former = [word for word in environment.get(variable, "").replace(",", " ").split() if word in new_values]
    if former:
        raise UsageError(
            _("{variable} has the former value {value}").format(variable=variable, value=join_list(former)),
            hint=_("Use: {names}").format(names=join_list(f"{word} → {new_values[word]}" for word in former)),
        )


def environment_variable_name(section: str, key: str) -> str:
    """Return the environment variable that overrides ``[section] key``: GPURENT_SECTION_KEY.

    ``@`` becomes ``__``, which nothing else does: no name has two hyphens in a row.
    """
    plain = section.replace(ACCOUNT_MARK, "__")
    return f"GPURENT_{plain}_{key}".upper().replace("-", "_").replace(".", "_")
